"""Reasons that go into committed tables name no folder of the machine they come from."""

from __future__ import annotations

from pathlib import Path

import mmpretrain
import pytest

from paco_seg.cli.stock_configs import one_line, try_stock_config

SYSTEMS = Path(__file__).parents[2] / 'docs' / 'systems'


@pytest.mark.parametrize(
    ('message', 'reason'),
    [
        ('in /v/site-packages/mm/.mim/configs/x/y.py: bad', 'in x/y.py: bad'),
        ('in /v/site-packages/mm/models/y.py.\nmore', 'in mm/models/y.py.'),
        ('a/b is no path', 'a/b is no path'),
    ],
)
def test_installed_files_have_short_names(message, reason):
    assert one_line(ValueError(message)) == f'ValueError: {reason}'


def test_a_stock_config_that_cannot_be_read_is_named_as_users_know_it():
    folder = Path(mmpretrain.__file__).parent / '.mim/configs'
    path = folder / 'byol/benchmarks/mask-rcnn_r50_fpn_ms-1x_coco.py'
    (outcome,) = try_stock_config(str(path), folder, ['ce'], {})
    assert outcome.state == 'not buildable'
    assert str(folder) not in outcome.reason


@pytest.mark.parametrize('path', sorted(SYSTEMS.glob('*.json')), ids=lambda path: path.name)
def test_committed_counts_name_no_machine(path):
    assert 'site-packages' not in path.read_text()
