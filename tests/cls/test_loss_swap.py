"""GPaCo in stock MMPretrain configs: what changes, that it builds and trains, what is refused."""

from __future__ import annotations

import pytest
from helpers.plain_config import plain
from mmengine.config import Config

from paco_seg import compat
from paco_seg.cli import swap
from paco_seg.cls import swap_loss
from paco_seg.cls.loss_swap import loss_changes
from paco_seg.cls.systems import SYSTEMS
from paco_seg.engine.model_changes import read_config
from paco_seg.engine.systems import SystemInputs

compat.setup()
RESNET = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'


def test_head_views_and_preprocessor_change_and_nothing_else():
    before, after = read_config(RESNET), swap_loss(RESNET, alpha=0.02)
    assert after.model.head == dict(
        type='GPaCoClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='GPaCoLoss', class_prior='auto', alpha=0.02),
    )
    assert after.data_preprocessor.type == 'MultiViewClsDataPreprocessor'
    assert after.data_preprocessor.mean == before.data_preprocessor.mean
    load, views, pack = after.train_dataloader.dataset.pipeline
    stock = before.train_dataloader.dataset.pipeline
    assert (load, pack) == (stock[0], stock[-1])
    assert views.transforms == [stock[1:-1], stock[1:-1]]
    for key in ('optim_wrapper', 'val_dataloader', 'test_dataloader', 'param_scheduler'):
        assert after[key] == before[key]
    assert after.model.backbone == before.model.backbone


def test_alpha_fits_any_number_of_classes_unless_it_is_given():
    assert swap_loss(RESNET).model.head.loss.alpha == 'auto'
    assert swap_loss(RESNET, alpha=0.05).model.head.loss.alpha == 0.05


@pytest.mark.parametrize(
    'name',
    [
        RESNET,
        'mmpretrain::resnet/resnet50_8xb16_cifar10.py',  # no loading step: arrays in memory
        'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',  # Mixup and CutMix
        'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py',
    ],
)
def test_written_config_equals_the_swap_and_builds(name, tmp_path):
    cfg = read_config(name)
    text, _ = swap.swap(cfg, name, tmp_path, SYSTEMS['gpaco'], {}, SystemInputs())
    path = tmp_path / 'new.py'
    path.write_text(text)
    written, swapped = Config.fromfile(path), swap_loss(cfg)
    for key in ('model', 'data_preprocessor', 'train_dataloader', 'custom_imports', 'custom_hooks'):
        assert plain(written[key]) == plain(swapped[key]), key


def test_swapped_config_trains(tiny_cls, run_tool, tmp_path):
    config = tiny_cls("\nmodel['train_cfg'] = None\n")
    run_tool('swap', config, '-o', tmp_path / 'gpaco.py', '--loss-options', 'class_prior=auto')
    options = ('model.head.queue_size=16', 'train_cfg.max_epochs=1')
    run_tool(
        'train', tmp_path / 'gpaco.py', '--work-dir', tmp_path / 'run', '--cfg-options', *options
    )
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'model.type': 'TimmClassifier'}, "model.type: expected 'ImageClassifier', got 'Timm"),
        (
            {'model.head.type': 'ClsHead'},
            "model.head.type: expected a linear head .* got 'ClsHead'",
        ),
        ({'train_dataloader.dataset.pipeline': []}, r'train_dataloader.dataset.pipeline: expected'),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(change, message):
    cfg = read_config(RESNET)
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=message):
        loss_changes(cfg)


def test_unknown_method_lists_the_choices():
    with pytest.raises(ValueError, match="method: expected one of 'gpaco', got 'ceco'"):
        loss_changes(read_config(RESNET), method='ceco')
