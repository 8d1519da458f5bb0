"""A config that imports its classes is trained, tested and published as one that names them."""

import json

import pytest
from mmengine.config import Config

from paco_seg.engine.model_changes import read_config
from paco_seg.engine.safeguards import guard_training

IMPORTED = {
    'mmengine.dataset': ['DefaultSampler', 'InfiniteSampler'],
    'mmengine.hooks': ['CheckpointHook', 'LoggerHook'],
    'mmengine.optim': ['AmpOptimWrapper', 'OptimWrapper'],
    'mmengine.runner': ['IterBasedTrainLoop', 'TestLoop', 'ValLoop'],
    'mmcv.transforms': ['LoadImageFromFile'],
    'mmseg.datasets': ['BaseSegDataset'],
    'mmseg.datasets.transforms': ['LoadAnnotations', 'PackSegInputs'],
    'mmseg.evaluation': ['IoUMetric'],
    'mmseg.models': ['EncoderDecoder', 'FCNHead', 'ResNetV1c', 'SegDataPreProcessor'],
    'torch.optim': ['SGD'],
}


@pytest.fixture
def pure(tiny_seg, tmp_path):
    """The config of ``tiny_seg``, with classes in the place of names."""
    cfg = Config.fromfile(tiny_seg("optim_wrapper['type'] = 'AmpOptimWrapper'\n")).to_dict()
    del cfg['default_hooks']['visualization']
    lines = [f'from {module} import {", ".join(names)}' for module, names in IMPORTED.items()]
    for key, value in cfg.items():
        text = repr(value)
        for name in (name for names in IMPORTED.values() for name in names):
            text = text.replace(f"'type': '{name}'", f"'type': {name}")
        lines.append(f'{key} = {text}')
    path = tmp_path / 'pure.py'
    path.write_text('\n'.join(lines))
    return path


def test_its_classes_become_names(pure):
    with pytest.raises(ValueError, match=r'pure\.py: expected a config with `_base_` strings'):
        read_config(pure)
    cfg = read_config(pure, to_inherit=False)
    assert cfg.model.type == 'EncoderDecoder'
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline] == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'PackSegInputs',
    ]
    guard_training(cfg)
    assert cfg.default_hooks.checkpoint.type == 'DurableCheckpointHook'


def test_a_class_that_a_name_would_not_mean_is_named_in_full(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        'from mmcv.transforms import LoadAnnotations\n'
        'from mmpretrain.models import ResNet\n'
        'from helpers.tiny_training import TinyModel\n'
        'from torch.nn.functional import relu\n'
        "default_scope = 'mmseg'\n"
        'model = [dict(type=ResNet), dict(type=TinyModel)]\n'
        'pipeline = [dict(type=LoadAnnotations, function=relu)]\n'
    )
    cfg = read_config(path, to_inherit=False)
    assert [part.type for part in cfg.model] == [
        'mmpretrain.models.backbones.resnet.ResNet',
        'helpers.tiny_training.TinyModel',
    ]
    assert cfg.pipeline[0].type == 'mmcv.transforms.loading.LoadAnnotations'
    assert callable(cfg.pipeline[0].function)


def test_commands(pure, run_tool, tmp_path):
    run_tool('train', pure, '--cfg-options', 'train_cfg.max_iters=3')
    checkpoint, images = tmp_path / 'work/iter_3.pth', tmp_path / 'data/images/val'
    run_tool('test', pure, checkpoint, '--out', tmp_path / 'out.json')
    run_tool('predict', pure, checkpoint, images, '-o', tmp_path / 'out')
    assert len(json.loads((tmp_path / 'out/predictions.json').read_text())['images']) == 2
    run_tool('statistics', pure, '-o', tmp_path / 'frequency.json', '--jobs', 1)
    run_tool('publish', checkpoint, '-o', tmp_path / 'small.pth')
    assert Config.fromfile(tmp_path / 'small.py').model.decode_head.type == 'FCNHead'
