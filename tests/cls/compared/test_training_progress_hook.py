from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from helpers.run_state import assert_same_run
from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.registry import HOOKS
from torch import nn
from torch.utils.data import DataLoader

import paco_seg.cls  # noqa: F401
from paco_seg.engine.rng import PositionedSampler


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.told = []

    def set_progress(self, epoch, max_epochs):
        self.told.append((epoch, max_epochs))


def tell(by_epoch, iterations):
    """What parts of a model hear before the training and in the given iterations, 4 per epoch."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(Listener()))
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop) if by_epoch else object()
    runner = SimpleNamespace(
        model=model, train_loop=loop, train_dataloader=range(4), max_epochs=1, max_iters=20
    )
    if by_epoch:
        runner.max_epochs = 5
    hook = HOOKS.build(dict(type='TrainingProgressHook'))
    for number in (0, *iterations):
        runner.iter, runner.epoch = number, number // 4 if by_epoch else 0
        if number == 0:
            hook.before_train(runner)
        else:
            hook.before_train_iter(runner, number)
    return model[1][0].told


def test_epochs_of_a_loop_by_epoch():
    assert tell(True, [1, 7, 19]) == [(0, 5), (0, 5), (1, 5), (4, 5)]


def test_fractions_of_an_epoch_in_a_loop_by_iteration():
    assert tell(False, [1, 7, 19]) == [(0, 5), (0.25, 5), (1.75, 5), (4.75, 5)]


def test_a_loss_that_comes_later_is_told():
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    model = nn.Sequential(nn.Linear(1, 1))
    runner = SimpleNamespace(
        model=model, train_loop=loop, train_dataloader=range(4), epoch=0, max_epochs=5
    )
    hook = HOOKS.build(dict(type='TrainingProgressHook'))
    hook.before_train(runner)
    model.append(Listener())
    runner.epoch = 3
    hook.before_train_iter(runner, 0)
    hook.before_train_iter(runner, 1)
    assert model[1].told == [(3, 5), (3, 5)]


HYBRID = """
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model = dict(
    type='HybridClassifier',
    backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='HybridClsHead', num_classes=4, in_channels=16, projector=dict(out_channels=6),
        loss_contrast=dict(type='SupConLoss')),
    train_cfg=None)
data_preprocessor = dict(
    type='MultiViewClsDataPreprocessor', num_views=3, mean=[128.0] * 3, std=[64.0] * 3,
    num_classes=4)
view = [dict(type='RandomCrop', crop_size=16, padding=2), dict(type='RandomFlip', prob=0.5)]
load, pack = [dict(type='LoadImageFromFile')], [dict(type='PackInputs')]
train_dataloader['dataset']['pipeline'] = [
    *load, dict(type='MultiView', num_views=[2], transforms=[view]), *pack]
train_dataloader['dataset'] = dict(
    type='DualSamplingDataset', dataset=train_dataloader['dataset'],
    balanced_pipeline=[*load, *view, *pack])
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
custom_hooks = [dict(type='TrainingProgressHook'), dict(type='RNGStateHook')]
"""


def weights(folder):
    (file,) = folder.rglob('scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row['curriculum_weight'] for row in rows if 'loss' in row]


def test_hybrid_check_7_resume_restores_the_curriculum(tiny_cls, run_tool, tmp_path):
    config = tiny_cls(HYBRID + 'train_dataloader["num_workers"] = 2\n')
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/epoch_1.pth'
    )
    assert weights(tmp_path / 'work') == [1.0] * 3 + [0.75] * 3
    assert weights(tmp_path / 'b') == [0.75] * 3
    assert_same_run(tmp_path / 'work/epoch_2.pth', tmp_path / 'b/epoch_2.pth')


def test_ldam_that_never_reweights_stops_before_the_first_step(tiny_cls, run_tool):
    config = tiny_cls(
        "custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)\n"
        "model['head'] = dict(type='LDAMClsHead', in_channels=8, num_classes=4,\n"
        '    loss=dict(drw_start_epoch=2))\n'
        "model['train_cfg'] = None\n"
        "custom_hooks = [dict(type='ClassCountHook'), dict(type='TrainingProgressHook')]\n"
    )
    with pytest.raises(ValueError, match=r'drw_start_epoch: expected an epoch before the end'):
        run_tool('train', config)


def test_an_endless_sampler_counts_the_images_of_all_processes(monkeypatch):
    monkeypatch.setattr('paco_seg.cls.compared.training_progress_hook.get_world_size', lambda: 4)
    data = list(range(64))
    sampler = PositionedSampler(InfiniteSampler(data, shuffle=False))
    loader = DataLoader(data, batch_size=2, sampler=sampler)
    model = nn.Sequential(Listener())
    runner = SimpleNamespace(
        model=model, train_loop=object(), train_dataloader=loader, iter=4, max_iters=80,
        epoch=0, max_epochs=1,
    )  # fmt: skip
    HOOKS.build(dict(type='TrainingProgressHook')).before_train(runner)
    assert model[0].told == [(0.5, 10.0)]  # 64 images, 8 in a step of the four
