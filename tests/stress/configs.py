"""The tiny trainings of the tests with everything on that has to survive."""

from __future__ import annotations

from pathlib import Path

from conftest import (
    CLASSES,
    CLS_CONFIG,
    SEG_CONFIG,
    write_cls_dataset,
    write_seg_dataset,
)

# Dropout and augmentation come with the tiny config; queue, projector and their pixels are ours.
GPACO_SEG = """
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model['decode_head'].update(
    type='GPaCoDecodeHead', base_type='FCNHead', projector=dict(out_channels=8),
    loss_contrast=dict(
        type='PixelGPaCoLoss', num_pixels=48, queue_size=40, queue_pixels_per_class=3, alpha=0.05))
train_cfg.update(max_iters={iters}, val_interval={interval})
param_scheduler[0]['end'] = {iters}
default_hooks['checkpoint'].update(interval={interval}, max_keep_ckpts={keep}, save_best='mIoU')
default_hooks['logger']['interval'] = 1
custom_hooks = [dict(type='EMAHook')] if {ema} else []
optim_wrapper['accumulative_counts'] = {accumulate}
train_dataloader['num_workers'] = {workers}
"""
# Momentum encoder, queue and two views of each image.
PACO_CLS = """
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model['type'] = 'PaCoClassifier'
model['train_cfg'] = None
model['head'] = dict(
    type='PaCoClsHead', in_channels=8, num_classes=4, projector=dict(out_channels=6),
    queue_size=24, loss=dict(class_prior=[4, 3, 2, 1]))
data_preprocessor['type'] = 'MultiViewClsDataPreprocessor'
view = [dict(type='RandomCrop', crop_size=16, padding=2), dict(type='RandomFlip', prob=0.5)]
train_dataloader['dataset']['pipeline'] = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view, view]),
    dict(type='PackInputs')]
train_dataloader['num_workers'] = {workers}
train_cfg['max_epochs'] = {epochs}
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts={keep}, save_best='accuracy/top1'))
custom_hooks = [dict(type='EMAHook')] if {ema} else []
optim_wrapper['accumulative_counts'] = {accumulate}
"""


def seg_config(folder: Path, extra: str = '') -> Path:
    """The tiny segmentation training and its data in ``folder``."""
    return _config(folder, SEG_CONFIG, write_seg_dataset, extra)


def cls_config(folder: Path, extra: str = '') -> Path:
    """The tiny classification training and its data in ``folder``."""
    return _config(folder, CLS_CONFIG, write_cls_dataset, extra)


def _config(folder: Path, text: str, write_data: object, extra: str) -> Path:
    if not (folder / 'data').exists():
        write_data(folder / 'data')
    path = folder / 'config.py'
    path.write_text(
        text.format(
            root=str(folder / 'data'),
            work_dir=str(folder / 'work'),
            classes=CLASSES,
            num_classes=len(CLASSES),
        )
        + extra
    )
    return path
