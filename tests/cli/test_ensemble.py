"""``tools/test.py --ensemble``, on the checkpoints of a tiny training."""

import json

import pytest
import torch


def test_ensemble_from_the_command_line(tiny_cls, run_tool, tmp_path):
    config = tiny_cls()
    run_tool('train', config)
    last, previous = (tmp_path / 'work' / f'epoch_{e}.pth' for e in (2, 1))
    out = tmp_path / 'metrics.json'
    run_tool('test', config, '--ensemble', last, previous, '--out', out)
    both = json.loads(out.read_text())
    # an ensemble of one is the model itself
    run_tool('test', config, '--ensemble', last, '--out', out)
    single = json.loads(out.read_text())
    run_tool('test', config, last, '--out', out)
    assert json.loads(out.read_text())['metrics'] == single['metrics']
    assert both['checkpoint'] == [str(last), str(previous)]
    assert torch.isfinite(torch.tensor(both['metrics']['accuracy/top1']))


def test_it_needs_one_of_the_two(tiny_cls, run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('test', tiny_cls())
    assert 'either a checkpoint or --ensemble' in capsys.readouterr().err


def test_segmentation_has_no_ensembles(tiny_seg, run_tool, tmp_path):
    (tmp_path / 'a.pth').touch()
    with pytest.raises(ValueError, match='--ensemble: expected a classification config'):
        run_tool('test', tiny_seg(), '--ensemble', tmp_path / 'a.pth')
