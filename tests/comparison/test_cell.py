"""What decides the result of a cell."""

from dataclasses import replace

import pytest

from paco_seg.comparison.cell import Cell


@pytest.fixture
def cell():
    return Cell('one', (('module', '{dir}/a', 'b'),), {'lr': 0.1}, collect=lambda folder: {})


@pytest.mark.parametrize('change', [{'inputs': {'lr': 0.2}}, {'commands': ()}])
def test_what_decides_the_result_decides_the_fingerprint(cell, change):
    assert replace(cell, **change).fingerprint != cell.fingerprint
    assert replace(cell, cost=7.0, name='two').fingerprint == cell.fingerprint


def test_commands_name_the_folder(cell, tmp_path):
    assert cell.commands_in(tmp_path) == [('module', f'{tmp_path}/a', 'b')]
    cell = replace(cell, commands=(('module', '--cfg-options', 'key={dir}/a', 'other=1'),))
    text = f'key=={tmp_path}/a, b/a'  # which MMEngine would split and close up
    assert cell.commands_in(tmp_path / 'a, b')[0][2:] == (text, 'other=1')


def test_done_from_the_written_result_on(cell, tmp_path):
    assert cell.finished_result(tmp_path) is None
    cell.finish(tmp_path, {'value': 1}, seconds=2.0)
    assert cell.finished_result(tmp_path) == {'value': 1}
    assert replace(cell, inputs={}).finished_result(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ['cell.json']


def test_says_what_changed(tmp_path):
    def cell(rate, extra=()):
        inputs = {'config': {'optim': {'lr': rate}, 'steps': [1, 2, *extra]}}
        return Cell('one', (('train',),), inputs, collect=lambda folder: {})

    assert cell(0.1).what_changed(tmp_path) is None  # nothing there
    cell(0.1).finish(tmp_path, {}, 1.0)
    assert cell(0.1).what_changed(tmp_path) is None
    assert cell(0.2).what_changed(tmp_path) == 'inputs.config.optim.lr was 0.1, is 0.2'
    changed = cell(0.2, (3, 4, 5)).what_changed(tmp_path)
    assert changed.startswith('inputs.config.optim.lr was 0.1, is 0.2; inputs.config.steps.2 was N')
    assert changed.endswith(', and 1 more')
