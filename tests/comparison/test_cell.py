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


def test_done_from_the_written_result_on(cell, tmp_path):
    assert cell.finished_result(tmp_path) is None
    cell.finish(tmp_path, {'value': 1}, seconds=2.0)
    assert cell.finished_result(tmp_path) == {'value': 1}
    assert replace(cell, inputs={}).finished_result(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ['cell.json']
