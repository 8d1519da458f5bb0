import json
from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config

from paco_seg.cli.export import channel_order
from paco_seg.engine import export
from paco_seg.seg import swap_loss
from paco_seg.seg.scores import SegmentationScores

CLASSES = ('sky', 'road', 'tree', 'car')
# ONNX comes with the extra `export`; without it the command says so, see below.
FORMATS = ['pt2', *(['onnx'] if find_spec('onnxruntime') else [])]


@pytest.mark.parametrize('kind', FORMATS)
def test_a_gpaco_segmentor_without_its_projector(
    tiny_seg, run_tool, save_checkpoint, tmp_path, capsys, kind
):
    config = tmp_path / 'gpaco.py'
    swap_loss(tiny_seg()).dump(config)
    checkpoint = save_checkpoint(config, means=True)
    out = tmp_path / f'model.{kind}'
    run_tool('export', config, checkpoint, '-o', out)
    assert 'scores agree' in capsys.readouterr().out
    about = json.loads((tmp_path / f'model.{kind}.json').read_text())
    assert about['classes'] == list(CLASSES)
    assert about['input'] == dict(
        name='images',
        shape=['any', 3, 32, 32],
        dtype='float32',
        channels='RGB',
        mean=[128.0] * 3,
        std=[64.0] * 3,
    )
    if kind == 'pt2':
        program = torch.export.load(out)
        assert not any('training_branches' in name for name in program.state_dict)
        image = torch.randn(5, 3, 32, 32)
        model = SegmentationScores(Config.fromfile(config), str(checkpoint)).eval()
        with torch.no_grad():
            assert model(image).shape == (5, 4, 32, 32)
            torch.testing.assert_close(program.module()(image), model(image))


@pytest.mark.parametrize('kind', FORMATS)
def test_a_classifier_of_one_size(tiny_cls, run_tool, save_checkpoint, tmp_path, kind):
    config = tiny_cls()
    checkpoint = save_checkpoint(config, means=True)
    out = tmp_path / f'model.{kind}'
    options = ('--size', 16, 16, '--batch-size', 1)
    run_tool('export', config, checkpoint, '-o', out, *options)
    about = json.loads((tmp_path / f'model.{kind}.json').read_text())
    assert about['input']['shape'] == [1, 3, 16, 16]
    assert about['largest_difference'] <= export.TOLERANCE


@pytest.mark.parametrize(
    ('preprocessor', 'order'),
    [({}, 'BGR'), (dict(bgr_to_rgb=True), 'RGB'), (dict(rgb_to_bgr=True), 'RGB'),
     (dict(to_rgb=True), 'RGB')],
)  # fmt: skip
@pytest.mark.parametrize('scope', ['', 'mmcv.', 'mmseg.'])
def test_the_order_of_the_channels(preprocessor, order, scope):
    """Files are read as BGR; whatever exchanges two channels makes that RGB."""
    steps = [dict(type=f'{scope}LoadImageFromFile')]
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='A', pipeline=steps))))
    assert channel_order(cfg, preprocessor) == order


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('model.pt', r'TorchScript is deprecated in PyTorch: \.pt2'),
        ('model.bin', r'^--out: expected a name that ends in \.onnx or \.pt2'),
        ('model.onnx', 'pip install onnx onnxscript onnxruntime'),
    ],
)
def test_formats_that_are_not_written(tiny_seg, run_tool, tmp_path, monkeypatch, name, message):
    monkeypatch.setattr(export, 'find_spec', lambda module: None)
    with pytest.raises(ValueError, match=message):
        run_tool('export', tiny_seg(), tmp_path / 'model.pth', '-o', tmp_path / name)
