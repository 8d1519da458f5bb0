"""The study of a user's config on a runner that trains nothing: waves, choice, failures."""

from dataclasses import replace
from pathlib import Path

import pytest

from paco_seg import compat
from paco_seg.comparison.data_parts import divide_data
from paco_seg.comparison.runner import replaced_folder
from paco_seg.comparison.user_study import UserStudy, first_and_last_line
from paco_seg.comparison.written_configs import WrittenConfigs
from paco_seg.core.frequency import save_class_frequency
from paco_seg.engine.data_config import read_data_config


class PretendedRunner:
    """Returns a value per cell; fails for the given names."""

    def __init__(self, values=None, failing=()):
        self.values, self.failing, self.waves, self.cells = values or {}, failing, [], []

    def run_each(self, cells, *, workers):
        self.waves.append([cell.name for cell in cells])
        self.cells += cells
        return [self._result(cell) for cell in cells]

    def _result(self, cell):
        if cell.name in self.failing:
            return ChildProcessError(f'{cell.name}: expected exit status 0.\nlog\nKilled')
        metrics = dict(class_mean=self.values.get(cell.name, 50.0))
        return dict(validation=[dict(step=1, **metrics)], test=dict(metrics=metrics))


@pytest.fixture
def study(tiny_cls, tmp_path):
    from paco_seg.cls.systems import SYSTEMS

    compat.setup()
    path = tiny_cls()
    cfg, scope = read_data_config(str(path))
    parts = divide_data(cfg, scope, tmp_path / 'out' / 'data')
    file = tmp_path / 'out' / 'data' / 'class_frequency.json'
    save_class_frequency(parts.frequency, file)
    configs = WrittenConfigs(
        folder=tmp_path / 'out' / 'configs',
        source=str(path),
        cfg=cfg,
        parts=parts,
        frequency_file=str(file.resolve()),
        measure='accuracy',
        rare=[0],
        per_epoch=3,
        full=6,
        baseline=SYSTEMS['ce'],
    )
    base = configs.write_base(10)

    def make(*names, search=True):
        return UserStudy(
            systems=[SYSTEMS[name] for name in ('ce', *names)],
            seeds=(0, 1),
            metric='class_mean',
            configs=configs,
            base=base,
            search=configs.write_search(base, 2) if search else None,
            search_share=0.2,
            has_rate=True,
            data=parts.fingerprint,
        )

    return make


def test_systems_run_side_by_side_after_what_they_start_from(study):
    runner = PretendedRunner()
    study('crt', 'class-aware-sampling', 'tau-norm', search=False).run(runner)
    waves = [wave for wave in runner.waves if wave]
    assert waves == [
        ['ce/seed_0', 'ce/seed_1', 'class-aware-sampling/seed_0', 'class-aware-sampling/seed_1'],
        ['crt/seed_0', 'crt/seed_1', 'tau-norm/seed_0', 'tau-norm/seed_1'],
    ]


def test_every_system_has_the_same_rates_and_the_best_candidate_trains(study, tmp_path):
    runner = PretendedRunner({'class-aware-sampling/search_lr-x0.3': 60.0})
    found = study('class-aware-sampling').run(runner)
    assert [len(result.search) for result in found] == [3, 3]
    assert [result.chosen.label for result in found] == ['defaults', 'lr-x0.3']
    written = tmp_path / 'out' / 'configs' / 'final' / 'class-aware-sampling.py'
    assert 'optimizer=dict(lr=0.015)' in written.read_text()
    assert "_base_ = '../base.py'" in written.read_text()
    costs = {cell.name: cell.cost for cell in runner.cells}
    assert (costs['ce/search_defaults'], costs['ce/seed_0']) == (0.2, 1.0)


def test_the_better_setting_is_tried_at_other_rates(study):
    runner = PretendedRunner({'balanced-softmax/search_tau-1.5': 60.0})
    found = study('balanced-softmax').run(runner)[1]
    assert runner.waves[:2] == [
        [
            'ce/search_defaults',
            'balanced-softmax/search_tau-1.0',
            'balanced-softmax/search_tau-1.5',
        ],
        [
            *('ce/search_lr-x0.3', 'ce/search_lr-x3'),
            *(f'balanced-softmax/search_tau-1.5_lr-x{rate}' for rate in ('0.3', '3')),
        ],
    ]
    assert found.chosen.label == 'tau-1.5'


def test_rates_are_tried_where_no_setting_ends_well(study):
    failing = {'ce/search_defaults', 'ce/search_lr-x3'}
    (found,) = study().run(PretendedRunner(failing=failing))
    assert found.chosen.label == 'lr-x0.3'


def test_a_failed_cell_takes_out_what_needs_it_and_nothing_else(study):
    failing = {'ce/seed_1', 'class-aware-sampling/search_lr-x3'}
    one = study('crt', 'class-aware-sampling')
    found = {result.system.name: result for result in one.run(PretendedRunner(failing=failing))}
    assert list(found['ce'].runs) == list(found['crt'].runs) == [0]
    assert list(found['class-aware-sampling'].runs) == [0, 1]
    ends = ': expected exit status 0. Killed'
    assert one.failed == [
        ('class-aware-sampling/search_lr-x3', 'class-aware-sampling/search_lr-x3' + ends),
        ('ce/seed_1', 'ce/seed_1' + ends),
        ('crt/seed_1', 'it starts from ce, see there'),
    ]


def test_a_system_whose_whole_search_fails_is_left_out(study):
    labels = ('defaults', 'lr-x0.3', 'lr-x3')
    one = study('class-aware-sampling')
    failing = {f'class-aware-sampling/search_{label}' for label in labels}
    found = one.run(PretendedRunner(failing=failing))
    assert [len(result.runs) for result in found] == [2, 0]
    assert one.failed[-1] == ('class-aware-sampling', 'no search training of it ended well')


def test_what_starts_from_a_failed_source_is_said_to(study):
    one = study('crt')
    one.run(PretendedRunner(failing={'ce/seed_0'}))  # the seed of the search
    assert one.failed[-1] == ('crt', 'it starts from ce, see there')


def test_a_failed_candidate_does_not_hide_finished_trainings(study, tmp_path):
    one, runner = study(), PretendedRunner(failing={'ce/search_lr-x3'})
    one.run(runner)
    for cell in runner.cells:
        if cell.name not in runner.failing:
            cell.finish(tmp_path / cell.name, runner._result(cell), 1.0)
    assert one.finished(tmp_path)[:4] == (4, 5, pytest.approx(2 * 0.2 + 2), 2)


def test_finished_counts_what_is_left_by_its_cost(study, tmp_path):
    one, runner = study(), PretendedRunner({'ce/search_lr-x3': float('nan')})
    one.run(runner)
    for cell in runner.cells:
        if cell.name != 'ce/seed_1':
            cell.finish(tmp_path / cell.name, runner._result(cell), 1.0)
    done, total, cost, trained, repeated = one.finished(tmp_path)
    assert (done, total, trained, repeated) == (4, 5, 1, [])  # a search without a value is over
    assert cost == pytest.approx(3 * 0.2 + 1)
    # What was replaced and fits again is taken back, not repeated.
    cell = next(cell for cell in runner.cells if cell.name == 'ce/seed_0')
    kept = replaced_folder(tmp_path, cell, cell.fingerprint)
    kept.parent.mkdir(parents=True)
    (tmp_path / cell.name).rename(kept)
    replace(cell, inputs={}).finish(tmp_path / cell.name, {}, 1.0)
    assert one.finished(tmp_path)[:5] == (4, 5, pytest.approx(1.6), 1, [])


def test_a_look_ahead_of_the_first_training_writes_what_will_be_trained(study, tmp_path):
    one = study('balanced-softmax')
    assert one.finished(tmp_path)[:2] == (0, 3 + 4 + 2 * 2)
    written = sorted(path.stem for path in (tmp_path / 'out/configs/search').iterdir())
    assert written == ['balanced-softmax_tau-1.0', 'balanced-softmax_tau-1.5', 'ce_defaults']


def test_nothing_starts_from_a_source_that_has_failed_since(study):
    one = study('tau-norm')
    one.run(PretendedRunner())
    failing = {f'ce/search_{label}' for label in ('defaults', 'lr-x0.3', 'lr-x3')}
    assert [list(result.runs) for result in one.run(PretendedRunner(failing=failing))] == [[], []]


def test_weights_of_the_source_go_where_the_system_wants_them(study):
    runner = PretendedRunner()
    study('crt', search=False).run(runner)
    command = next(cell for cell in runner.cells if cell.name == 'crt/seed_1').commands[0]
    assert 'model.stage_one={dir}/../../ce/seed_1/final.pth' in command


def test_first_line_of_an_error_and_the_end_of_its_log():
    assert first_and_last_line(ValueError('a\nb\n\nc ')) == 'a c'
    assert first_and_last_line(ValueError('')) == 'ValueError'


def test_cost_counts_searches_and_finals(study):
    assert study('class-aware-sampling').total_cost == pytest.approx(2 * (3 * 0.2 + 2))
    assert study('tau-norm').total_cost == pytest.approx(3 * 0.2 + 2 + 11 * 0.1)
    assert Path(study('tau-norm').base).name == 'base.py'
