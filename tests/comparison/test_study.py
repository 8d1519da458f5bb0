"""Cells: resume, force, half-finished and outdated ones; comparisons: search, choice, seeds."""

import json
import re
import subprocess
from dataclasses import replace

import pytest

from paco_seg.engine import experiment
from paco_seg.engine.experiment import Cell, CellRunner, Comparison, Method

SCRIPT = """
import pathlib, sys
folder, text = pathlib.Path(sys.argv[1]), sys.argv[2]
with open(folder.parent / 'calls.txt', 'a') as calls:
    calls.write(text + ' ')
print('working on', text)
if text == 'fail':
    sys.exit(3)
(folder / 'out.json').write_text('{"value": "%s"}' % text)
"""


@pytest.fixture(autouse=True)
def commit(monkeypatch):
    found = experiment.code_commit
    monkeypatch.setattr(experiment, 'code_commit', lambda: 'abc')
    return found


@pytest.fixture
def script(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    return str(tmp_path / 'script.py')


@pytest.fixture
def cell(script):
    return Cell(
        name='one',
        commands=((script, '{dir}', 'a'), (script, '{dir}', 'b')),
        inputs={'lr': 0.1},
        collect=lambda folder: json.loads((folder / 'out.json').read_text()),
    )


def run(tmp_path, *cells, **settings):
    runner = CellRunner(tmp_path / 'root', total_cost=len(cells), **settings)
    return [runner.run(cell) for cell in cells], runner


def calls(tmp_path):
    return (tmp_path / 'root' / 'calls.txt').read_text().split()


def test_runs_commands_in_order_and_collects(tmp_path, cell):
    results, runner = run(tmp_path, cell)
    assert results == [{'value': 'b', 'commit': 'abc'}]
    assert runner.executed == ['one']
    assert calls(tmp_path) == ['a', 'b']
    log = (tmp_path / 'root' / 'one' / 'command-0.log').read_text()
    assert log.startswith('python ')
    assert 'working on a' in log


def test_finished_cells_are_not_repeated_unless_forced(tmp_path, cell):
    run(tmp_path, cell)
    results, runner = run(tmp_path, cell)
    assert (results, runner.executed, calls(tmp_path)) == (
        [{'value': 'b', 'commit': 'abc'}],
        [],
        ['a', 'b'],
    )
    _, runner = run(tmp_path, cell, force=True)
    assert (runner.executed, calls(tmp_path)) == (['one'], ['a', 'b', 'a', 'b'])


def test_reused_cell_keeps_the_commit_it_was_made_with(tmp_path, cell, monkeypatch):
    run(tmp_path, cell)
    monkeypatch.setattr(experiment, 'code_commit', lambda: 'def')
    results, _ = run(tmp_path, cell, replace(cell, name='two'))
    assert [result['commit'] for result in results] == ['abc', 'def']


def test_commit_of_the_code(commit, tmp_path, monkeypatch):
    def git(*words):
        who = ('-c', 'user.name=n', '-c', 'user.email=e')
        subprocess.run(['git', *who, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(experiment, 'ROOT', tmp_path)
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    assert commit() is None  # no repository
    git('init')
    for folder in ('paco_seg', 'configs', 'tools', 'docs'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a').write_text('1')
    git('add', '.')
    git('commit', '-m', 'one')
    first = commit()
    assert re.fullmatch('[0-9a-f]{12}', first)
    (tmp_path / 'docs' / 'a').write_text('2')
    git('commit', '-am', 'two')
    assert commit() == first  # nothing that trains has changed
    (tmp_path / 'tools' / 'a').write_text('2')
    assert commit() == first + '-changed'
    monkeypatch.setenv('PATH', '')
    assert commit() is None  # no Git


def test_half_finished_cell_is_repeated_from_scratch(tmp_path, cell, script):
    broken = replace(cell, commands=((script, '{dir}', 'a'), (script, '{dir}', 'fail')))
    with pytest.raises(RuntimeError, match=r'(?s)fail: expected exit status 0, got 3.*working on'):
        run(tmp_path, broken)
    leftover = tmp_path / 'root' / 'one' / 'out.json'
    assert leftover.exists()
    leftover.write_text('{"value": "stale"}')
    results, runner = run(tmp_path, cell)
    assert runner.executed == ['one']
    assert results == [{'value': 'b', 'commit': 'abc'}]
    assert calls(tmp_path) == ['a', 'fail', 'a', 'b']


def test_unreadable_marker_does_not_count(tmp_path, cell):
    run(tmp_path, cell)
    (tmp_path / 'root' / 'one' / 'cell.json').write_text('{"fingerprint": ')
    assert run(tmp_path, cell)[1].executed == ['one']


@pytest.mark.parametrize('change', [{'inputs': {'lr': 0.2}}, {'commands': ()}])
def test_what_decides_the_result_decides_the_fingerprint(cell, change):
    assert replace(cell, **change).fingerprint != cell.fingerprint
    assert replace(cell, cost=7.0, name='two').fingerprint == cell.fingerprint


def test_changed_config_invalidates(tmp_path, cell):
    run(tmp_path, cell)
    assert run(tmp_path, replace(cell, inputs={'lr': 0.2}))[1].executed == ['one']


def test_remaining_time_counts_cost_not_cells(tmp_path):
    runner = CellRunner(tmp_path, total_cost=10)
    assert runner._remaining(0, 0) == ''
    runner._done_cost, runner._busy_seconds, runner._reused_cost = 1, 30, 4
    assert runner._remaining(0, 0) == ', about 2.5 min left'  # 5 cost units of 30 s
    assert runner._remaining(1, 30) == ', about 2.0 min left'
    runner._done_cost = 6
    assert runner._remaining(0, 0) == ''


class FakeRunner:
    """Answers a training with a validation metric that depends on its settings."""

    def __init__(self, score):
        self.score, self.cells = score, []

    def run(self, cell):
        self.cells.append(cell)
        options = dict(w.split('=') for w in cell.commands[0] if '=' in w)
        return {'validation': [{'step': 1, 'mIoU': 0.0}, {'step': 2, 'mIoU': self.score(options)}]}


@pytest.fixture
def comparison(tmp_path):
    (tmp_path / 'config.py').write_text('lr = 1.0\nweight = 1.0\n')
    (tmp_path / 'data.json').write_text('{}')
    method = Method(
        'ours', 'Ours', str(tmp_path / 'config.py'), {'opt.lr': (0.1, 0.2), 'w': (1, 2)}
    )
    return Comparison(
        methods=[method],
        seeds=(5, 6),
        metric='mIoU',
        search_options={'iters': 3},
        search_cost=0.5,
        data_files=(tmp_path / 'data.json',),
    )


def test_search_chooses_the_best_candidate_for_all_seeds(comparison):
    runner = FakeRunner(lambda options: 10 * float(options['opt.lr']) - float(options['w']))
    (found,) = comparison.run(runner)
    assert [entry['value'] for entry in found['search']] == [0, -1, 1, 0]
    assert found['chosen'] == {'opt.lr': 0.2, 'w': 1}
    assert [run['seed'] for run in found['runs']] == [5, 6]
    search, final = runner.cells[:4], runner.cells[4:]
    assert all('iters=3' in cell.commands[0] for cell in search)
    assert all('randomness.seed=5' in cell.commands[0] for cell in search)
    assert [len(cell.commands) for cell in final] == [2, 2]
    assert all({'opt.lr=0.2', 'w=1'} < set(cell.commands[0]) for cell in final)
    assert not any('iters=3' in cell.commands[0] for cell in final)
    assert len({cell.name for cell in runner.cells}) == 6
    assert comparison.total_cost == sum(cell.cost for cell in runner.cells) == 4


def test_config_and_data_are_in_the_fingerprint(comparison, tmp_path):
    method = comparison.methods[0]

    def fingerprint():
        return comparison.final_cell(method, {'w': 1}, 5).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / 'config.py').write_text('lr = 2.0\nweight = 1.0\n')
    second = fingerprint()
    (tmp_path / 'data.json').write_text('[]')
    assert len({first, second, fingerprint()}) == 3


def test_missing_metric_names_what_is_there():
    with pytest.raises(ValueError, match=r"mIoU: .* got \['aAcc'\]. Set val_interval"):
        experiment.final_metric([{'aAcc': 1}], 'mIoU')
    with pytest.raises(ValueError, match='got no validation'):
        experiment.final_metric([], 'mIoU')


def test_collects_curves_and_time(tmp_path):
    log = tmp_path / 'stamp' / 'vis_data'
    log.mkdir(parents=True)
    rows = [
        {'loss': 2.0, 'time': 0.5, 'data_time': 0.1, 'step': 10},
        {'mIoU': 7.0, 'time': 9.0, 'data_time': 9.0, 'step': 10},
        {'loss': 1.0, 'time': 0.25, 'data_time': 0.1, 'step': 14},
    ]
    text = '\n'.join(json.dumps(row) for row in rows)
    (log / 'scalars.json').write_text(text + '\n{"loss": 0.')  # being written
    (log / 'config.py').write_text("train_cfg = dict(max_iters=28, type='IterBasedTrainLoop')")
    assert experiment.collect_training(tmp_path) == {
        'loss': [[10, 2.0], [14, 1.0]],
        'validation': [{'mIoU': 7.0, 'step': 10}],
        'train_seconds': 0.5 * 10 + 0.25 * 4,
    }
    assert experiment.training_progress(tmp_path) == 0.5
    assert experiment.training_progress(tmp_path / 'stamp') == 0.0


def test_table_and_spread():
    assert experiment.mean_and_spread([1.0, 3.04]) == '2.0 (1.0 to 3.0)'
    assert experiment.mean_and_spread([None, 3.0]) == '3.0'
    assert experiment.mean_and_spread([None]) == '-'
    table = experiment.text_table(['a', 'long'], [['x', 'y']])
    assert table == '| a | long |\n|---|------|\n| x | y    |'


def test_source_hands_its_weights_to_later_methods(comparison):
    config = comparison.methods[0].config
    tested = Method('tested', 'Tested', config, source='ours', trains=False)
    second = Method('second', 'Second', config, {'opt.lr': (0.1,)}, source='ours')
    chain = replace(comparison, methods=[comparison.methods[0], tested, second])
    runner = FakeRunner(lambda options: float(options['w']) if 'w' in options else 0.0)
    run = runner.run
    peaks = {'ours/seed_5': 9.0, 'ours/seed_6': None, 'second/seed_5': 8.0, 'second/seed_6': 7.0}

    def trained_or_tested(cell):
        if cell.name not in peaks:
            return run(cell)
        return {**run(cell), 'train_seconds': 2.0, 'peak_memory_mib': peaks[cell.name]}

    runner.run = trained_or_tested
    _, only_tested, trained = chain.run(runner)
    cells = {cell.name: cell for cell in runner.cells}
    (test,) = cells['tested/seed_6'].commands
    assert test[:3] == ('tools/test.py', config, '{dir}/../../ours/seed_6/final.pth')
    train, test = cells['second/seed_6'].commands
    assert 'load_from={dir}/../../ours/seed_6/final.pth' in train
    assert test[2] == '{dir}/final.pth'
    assert (
        'load_from={dir}/../../ours/seed_5/final.pth' in cells['second/search_lr-0.1'].commands[0]
    )
    assert only_tested['search'] == []  # no candidates, no tests of them
    assert [run['train_seconds'] for run in only_tested['runs']] == [2.0, 2.0]
    assert [run['train_seconds'] for run in trained['runs']] == [4.0, 4.0]
    # both stages need their memory, not at the same time
    assert [run['peak_memory_mib'] for run in trained['runs']] == [9.0, 7.0]
    assert [run['folder'] for run in trained['runs']] == ['second/seed_5', 'second/seed_6']
    assert chain.total_cost == pytest.approx(sum(cell.cost for cell in runner.cells))

    # another training of the source is another cell
    other = replace(cells['ours/seed_6'], inputs={})
    again = chain.final_cell(second, {'opt.lr': 0.1}, 6, other)
    assert again.fingerprint != cells['second/seed_6'].fingerprint

    with pytest.raises(ValueError, match="tested: expected the method 'ours' before it, got none"):
        replace(chain, methods=[tested]).run(runner)


def test_methods_that_only_test_search_with_the_weights_of_the_first_seed(comparison):
    source = comparison.methods[0]
    tested = Method(
        'tested',
        'Tested',
        source.config,
        {'head.tau': (0.5, 1.0, 1.5)},
        search_options={'split': 'search'},
        source='ours',
        trains=False,
    )
    chain = replace(comparison, methods=[source, tested], test_options={'batch': '9'})

    class Runner(FakeRunner):
        def run(self, cell):
            options = dict(w.split('=') for w in cell.commands[0] if '=' in w)
            test = {'metrics': {'mIoU': -abs(float(options.get('head.tau', 0)) - 0.9)}}
            return {**super().run(cell), 'test': test, 'train_seconds': 1.0}

    runner = Runner(lambda options: 0.0)
    found = chain.run(runner)[1]
    assert found['chosen'] == {'head.tau': 1.0}
    assert [entry['value'] for entry in found['search']] == pytest.approx([-0.4, -0.1, -0.6])
    cells = {cell.name: cell.commands for cell in runner.cells}
    (search,) = cells['tested/search_tau-0.5']
    assert search[2] == '{dir}/../../ours/seed_5/final.pth'
    assert {'batch=9', 'head.tau=0.5', 'split=search'} < set(search)
    (final,) = cells['tested/seed_6']
    assert final[2] == '{dir}/../../ours/seed_6/final.pth'
    assert {'batch=9', 'head.tau=1.0'} < set(final)
    assert 'split=search' not in final
    assert chain.total_cost == pytest.approx(sum(cell.cost for cell in runner.cells))


def test_search_options_of_a_method_go_into_its_search_alone(comparison):
    method = replace(comparison.methods[0], search_options={'start': 2, 'iters': 1})
    runner = FakeRunner(lambda options: 0.0)
    replace(comparison, methods=[method]).run(runner)
    search, final = runner.cells[0].commands[0], runner.cells[-1].commands[0]
    assert {'start=2', 'iters=1'} < set(search)
    assert not {'start=2', 'iters=1'} & set(final)


def test_parameters_are_told_from_buffers():
    names = (
        'backbone.bn1.running_mean',
        'backbone.bn1.num_batches_tracked',
        'head.class_prior.counts',
        'head.queue.keys',
        'decode_head.branches.ceco.simplex',
        'momentum_encoder.updates',
    )
    assert all(experiment.BUFFERS.search(name) for name in names)
    for name in ('backbone.bn1.weight', 'head.fc.bias', 'head.projector.0.weight'):
        assert not experiment.BUFFERS.search(name)
