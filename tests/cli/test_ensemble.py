"""``tools/test.py --ensemble``, on the checkpoints of a tiny training."""

import json

import mmengine
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


def test_members_see_what_the_preprocessor_of_the_model_makes(
    tiny_cls, run_tool, save_checkpoint, tmp_path
):
    """A config may have it inside of its model; that one counts then."""
    config = tiny_cls("""
model['data_preprocessor'] = dict(
    type='ClsDataPreprocessor', mean=[9.0] * 3, std=[5.0] * 3, num_classes=4)
del data_preprocessor
""")
    checkpoint, out = save_checkpoint(config), tmp_path / 'scores.pkl'
    scores = []
    for words in ([checkpoint], ['--ensemble', checkpoint]):
        run_tool('test', config, *words, '--out', out)
        scores.append(torch.stack([sample['pred_score'] for sample in mmengine.load(out)]))
    torch.testing.assert_close(*scores)


def test_it_needs_one_of_the_two(tiny_cls, run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('test', tiny_cls())
    assert 'either a checkpoint or --ensemble' in capsys.readouterr().err


def test_segmentation_has_no_ensembles(tiny_seg, run_tool, tmp_path):
    (tmp_path / 'a.pth').touch()
    with pytest.raises(ValueError, match='--ensemble: expected a classification config'):
        run_tool('test', tiny_seg(), '--ensemble', tmp_path / 'a.pth')
