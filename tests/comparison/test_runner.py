"""Cells one after the other: resume, force, half-finished and outdated ones, remaining time."""

import json
import os
import re
import subprocess
from dataclasses import replace

import pytest

from paco_seg.comparison import runner
from paco_seg.comparison.cell import Cell
from paco_seg.comparison.runner import CellRunner

PROGRAM = """
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
    found = runner.code_commit
    monkeypatch.setattr(runner, 'code_commit', lambda: 'abc')
    return found


@pytest.fixture
def program(tmp_path, monkeypatch):
    (tmp_path / 'cell_program.py').write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    return 'cell_program'


@pytest.fixture
def cell(program):
    return Cell(
        name='one',
        commands=((program, '{dir}', 'a'), (program, '{dir}', 'b')),
        inputs={'lr': 0.1},
        collect=lambda folder: json.loads((folder / 'out.json').read_text()),
    )


def run(tmp_path, *cells, **settings):
    runner = CellRunner(tmp_path / 'root', total_cost=len(cells), **settings)
    return [runner.run(cell) for cell in cells], runner


def calls(tmp_path):
    return (tmp_path / 'root' / 'calls.txt').read_text().split()


def test_runs_commands_in_order_and_collects(tmp_path, cell):
    results, runner_ = run(tmp_path, cell)
    assert results == [{'value': 'b', 'commit': 'abc'}]
    assert runner_.executed == ['one']
    assert calls(tmp_path) == ['a', 'b']
    log = (tmp_path / 'root' / 'one' / 'command-0.log').read_text()
    assert log.startswith('python ')
    assert 'working on a' in log


def test_finished_cells_are_not_repeated_unless_forced(tmp_path, cell):
    run(tmp_path, cell)
    results, runner_ = run(tmp_path, cell)
    assert (results, runner_.executed, calls(tmp_path)) == (
        [{'value': 'b', 'commit': 'abc'}],
        [],
        ['a', 'b'],
    )
    _, runner_ = run(tmp_path, cell, force=True)
    assert (runner_.executed, calls(tmp_path)) == (['one'], ['a', 'b', 'a', 'b'])


def test_a_forced_run_that_was_ended_goes_on(tmp_path, cell):
    cells = [cell, replace(cell, name='two')]
    run(tmp_path, *cells)
    assert run(tmp_path, cells[0], force=True)[1].executed == ['one']  # and no more
    results, runner_ = run(tmp_path, *cells, force=True)
    assert (len(results), runner_.executed) == (2, ['two'])
    runner_.end()
    assert run(tmp_path, *cells, force=True)[1].executed == ['one', 'two']


def test_reused_cell_keeps_the_commit_it_was_made_with(tmp_path, cell, monkeypatch):
    run(tmp_path, cell)
    monkeypatch.setattr(runner, 'code_commit', lambda: 'def')
    results, _ = run(tmp_path, cell, replace(cell, name='two'))
    assert [result['commit'] for result in results] == ['abc', 'def']


def test_commit_of_the_code(commit, tmp_path, monkeypatch):
    def git(*words):
        who = ('-c', 'user.name=n', '-c', 'user.email=e')
        subprocess.run(['git', *who, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    assert commit(tmp_path) is None  # no repository
    git('init')
    for folder in ('paco_seg', 'configs', 'tools', 'docs'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a').write_text('1')
    git('add', '.')
    git('commit', '-m', 'one')
    first = commit(tmp_path)
    assert re.fullmatch('[0-9a-f]{12}', first)
    (tmp_path / 'docs' / 'a').write_text('2')
    git('commit', '-am', 'two')
    assert commit(tmp_path) == first  # nothing that trains has changed
    (tmp_path / 'tools' / 'a').write_text('2')
    assert commit(tmp_path) == first + '-changed'
    monkeypatch.setenv('PATH', '')
    assert commit(tmp_path) is None  # no Git


def test_half_finished_cell_is_repeated_from_scratch(tmp_path, cell, program):
    broken = replace(cell, commands=((program, '{dir}', 'a'), (program, '{dir}', 'fail')))
    with pytest.raises(
        ChildProcessError, match=r'(?s)fail: expected exit status 0, got 3.*working'
    ):
        run(tmp_path, broken)
    leftover = tmp_path / 'root' / 'one' / 'out.json'
    assert leftover.exists()
    leftover.write_text('{"value": "stale"}')
    results, runner_ = run(tmp_path, cell)
    assert runner_.executed == ['one']
    assert results == [{'value': 'b', 'commit': 'abc'}]
    assert calls(tmp_path) == ['a', 'fail', 'a', 'b']


def test_unreadable_marker_does_not_count(tmp_path, cell):
    run(tmp_path, cell)
    (tmp_path / 'root' / 'one' / 'cell.json').write_text('{"fingerprint": ')
    assert run(tmp_path, cell)[1].executed == ['one']


def test_changed_config_invalidates(tmp_path, cell):
    run(tmp_path, cell)
    assert run(tmp_path, replace(cell, inputs={'lr': 0.2}))[1].executed == ['one']


def test_remaining_time_counts_cost_not_cells(tmp_path):
    runner = CellRunner(tmp_path, total_cost=10)
    assert runner.remaining(0, 0) == ''
    runner._done_cost, runner._busy_seconds, runner._reused_cost = 1, 30, 4
    assert runner.remaining(0, 0) == ', about 2.5 min left'  # 5 cost units of 30 s
    assert runner.remaining(1, 30) == ', about 2.0 min left'
    runner._done_cost = 6
    assert runner.remaining(0, 0) == ''


def test_cells_run_side_by_side_and_keep_their_order(tmp_path, monkeypatch):
    """Each waits for the file that the other writes: alone neither would end."""
    (tmp_path / 'pair_program.py').write_text(
        'import pathlib, sys, time\n'
        'own, other = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])\n'
        'own.write_text(own.parent.name)\n'
        'while not other.exists(): time.sleep(0.01)\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    cells = [
        Cell(
            name=name,
            commands=(('pair_program', '{dir}/done', f'{{dir}}/../{other}/done'),),
            inputs={},
            collect=lambda folder: {'value': (folder / 'done').read_text()},
        )
        for name, other in (('a', 'b'), ('b', 'a'))
    ]
    found = CellRunner(tmp_path / 'root', total_cost=2).run_all(cells, workers=2)
    assert [result['value'] for result in found] == ['a', 'b']


def test_a_failure_ends_what_runs_beside_it(tmp_path, program):
    endless = Cell('endless', (('endless_program', '{dir}'),), {}, collect=lambda folder: {})
    (tmp_path / 'endless_program.py').write_text(
        'import os, pathlib, sys, time\n'
        'pathlib.Path(sys.argv[1], "pid").write_text(str(os.getpid()))\ntime.sleep(600)\n'
    )
    failing = Cell('failing', ((program, '{dir}', 'fail'),), {}, collect=lambda folder: {})
    with pytest.raises(ChildProcessError, match='got 3'):
        CellRunner(tmp_path / 'root', total_cost=2).run_all([endless, failing], workers=2)
    written = tmp_path / 'root' / 'endless' / 'pid'
    if written.exists() and written.read_text():  # else it ended even earlier
        with pytest.raises(ProcessLookupError):
            os.kill(int(written.read_text()), 0)


def test_a_failed_cell_leaves_the_others_alone(tmp_path, program, cell, capsys):
    failing = Cell('failing', ((program, '{dir}', 'fail'),), {}, collect=lambda folder: {})
    uncollected = replace(cell, name='uncollected', collect=lambda folder: json.loads('{'))
    found = CellRunner(tmp_path / 'root', total_cost=3).run_each([failing, uncollected, cell])
    assert isinstance(found[0], ChildProcessError)
    assert isinstance(found[1], ValueError)
    assert found[2]['value'] == 'b'
    assert 'failing: failed. ' in capsys.readouterr().out


def test_a_full_disk_ends_everything_with_one_line(tmp_path, program, cell, monkeypatch):
    monkeypatch.setattr(runner, 'SMALLEST_FREE', 2**80)
    failing = Cell('failing', ((program, '{dir}', 'fail'),), {}, collect=lambda folder: {})
    with pytest.raises(OSError, match=r'expected free disk space.*finished is kept'):
        CellRunner(tmp_path / 'root', total_cost=2).run_each([cell, failing])
    assert cell.finished_result(tmp_path / 'root' / 'one') is not None


def test_an_outdated_result_is_kept_and_taken_back(tmp_path, cell, capsys):
    changed = replace(cell, inputs={'lr': 0.2})
    run(tmp_path, cell, keep_replaced=True)
    _, runner_ = run(tmp_path, changed, keep_replaced=True)
    assert runner_.executed == ['one']
    said = capsys.readouterr().out
    assert 'one: repeated, since inputs.lr was 0.1, is 0.2. The earlier result is kept in' in said
    for which in (cell, changed, cell):
        results, runner_ = run(tmp_path, which, keep_replaced=True)
        assert (results[0]['value'], runner_.executed) == ('b', [])
    assert calls(tmp_path) == ['a', 'b', 'a', 'b']


def test_only_forks_find_modules_imported(tmp_path, cell, monkeypatch):
    monkeypatch.setattr(runner, 'start_method', lambda: 'fork')  # also where there is a GPU
    with pytest.raises(ModuleNotFoundError, match='no_such_module'):
        run(tmp_path, cell, preload=['no_such_module'])
    monkeypatch.setattr(runner, 'start_method', lambda: 'spawn')
    (result,), _ = run(tmp_path, cell, preload=['no_such_module'])
    assert result['value'] == 'b'


@pytest.mark.parametrize(('listed', 'seen'), [('4,6', 2), ('', 0), (None, 3)])
def test_no_more_gpus_than_there_are(monkeypatch, listed, seen):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 3)
    if listed is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', listed)
    runner.check_gpus(seen)
    with pytest.raises(
        ValueError, match=rf'^--gpus: expected at most {seen}, .*, got {seen + 1}\.'
    ):
        runner.check_gpus(seen + 1)


def test_each_worker_gets_a_gpu_of_its_own(monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert runner.gpu_environment(1) == {'CUDA_VISIBLE_DEVICES': '1'}
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,6')
    assert runner.gpu_environment(1) == {'CUDA_VISIBLE_DEVICES': '6'}
