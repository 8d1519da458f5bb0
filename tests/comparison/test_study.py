"""Studies: search, choice, seeds, and systems that start from the weights of another."""

from dataclasses import replace

import pytest

from paco_seg.comparison.study import Study, Sweep, System


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
    method = System(
        'ours', 'Ours', str(tmp_path / 'config.py'), {'opt.lr': (0.1, 0.2), 'w': (1, 2)}
    )
    return Study(
        systems=[method],
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
    method = comparison.systems[0]

    def fingerprint():
        return comparison.final_cell(method, {'w': 1}, 5).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / 'config.py').write_text('lr = 2.0\nweight = 1.0\n')
    second = fingerprint()
    (tmp_path / 'data.json').write_text('[]')
    assert len({first, second, fingerprint()}) == 3


def test_source_hands_its_weights_to_later_methods(comparison):
    config = comparison.systems[0].config
    tested = System('tested', 'Tested', config, source='ours', trains=False)
    second = System('second', 'Second', config, {'opt.lr': (0.1,)}, source='ours')
    chain = replace(comparison, systems=[comparison.systems[0], tested, second])
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
    assert test[:2] == ('paco_seg', 'test')
    assert test[2:4] == (config, '{dir}/../../ours/seed_6/final.pth')
    train, test = cells['second/seed_6'].commands
    assert 'load_from={dir}/../../ours/seed_6/final.pth' in train
    assert test[3] == '{dir}/final.pth'
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

    with pytest.raises(ValueError, match="tested: expected the system 'ours' before it, got none"):
        replace(chain, systems=[tested]).run(runner)


def test_methods_that_only_test_search_with_the_weights_of_the_first_seed(comparison):
    source = comparison.systems[0]
    tested = System(
        'tested',
        'Tested',
        source.config,
        {'head.tau': (0.5, 1.0, 1.5)},
        search_options={'split': 'search'},
        source='ours',
        trains=False,
    )
    chain = replace(comparison, systems=[source, tested], test_options={'batch': '9'})

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
    assert search[3] == '{dir}/../../ours/seed_5/final.pth'
    assert {'batch=9', 'head.tau=0.5', 'split=search'} < set(search)
    (final,) = cells['tested/seed_6']
    assert final[3] == '{dir}/../../ours/seed_6/final.pth'
    assert {'batch=9', 'head.tau=1.0'} < set(final)
    assert 'split=search' not in final
    assert chain.total_cost == pytest.approx(sum(cell.cost for cell in runner.cells))


def test_search_options_of_a_method_go_into_its_search_alone(comparison):
    method = replace(comparison.systems[0], search_options={'start': 2, 'iters': 1})
    runner = FakeRunner(lambda options: 0.0)
    replace(comparison, systems=[method]).run(runner)
    search, final = runner.cells[0].commands[0], runner.cells[-1].commands[0]
    assert {'start=2', 'iters=1'} < set(search)
    assert not {'start=2', 'iters=1'} & set(final)


def test_options_of_a_system_go_into_all_its_trainings(comparison):
    system = replace(comparison.systems[0], options={'extra': 7})
    runner = FakeRunner(lambda options: 0.0)
    replace(comparison, systems=[system]).run(runner)
    assert all('extra=7' in cell.commands[0] for cell in runner.cells)


def test_a_system_without_a_search_trains_at_once(comparison):
    system = replace(comparison.systems[0], search={}, options={'opt.lr': 0.3, 'w': 1})
    fixed = replace(comparison, systems=[system])
    runner = FakeRunner(lambda options: 0.0)
    (found,) = fixed.run(runner)
    assert (found['search'], found['chosen']) == ([], {})
    assert [cell.name for cell in runner.cells] == ['ours/seed_5', 'ours/seed_6']
    assert all('opt.lr=0.3' in cell.commands[0] for cell in runner.cells)
    assert fixed.total_cost == sum(cell.cost for cell in runner.cells) == 2


def test_sweep_calls_a_program_per_system_and_seed():
    system = System('auto', 'Auto', 'some.module', options={'alpha': 'auto', 'steps': 3})

    class Runner:
        cells = []

        def run_all(self, cells, workers):
            assert workers == 3
            self.cells += cells
            return [{'test': {'metrics': {'val': float(number)}}} for number in range(len(cells))]

    runner = Runner()
    sweep = Sweep(systems=[system], seeds=(0, 4), workers=3)
    (found,) = sweep.run(runner)
    words = ('some.module', '--alpha', 'auto', '--steps', '3', '--seed', '4')
    assert runner.cells[1].commands == ((*words, '--out', '{dir}/test.json'),)
    assert [run['seed'] for run in found['runs']] == [0, 4]
    assert [run['test']['metrics']['val'] for run in found['runs']] == [0, 1]
    assert found['runs'][1]['folder'] == 'auto/seed_4'
    assert sweep.total_cost == len(runner.cells)
