"""Smallest settings of every decode head of MMSegmentation, with input maps that fit them.

``ZOO`` maps a head to ``(arguments, input shapes)``; inputs are (channels, stride) of a 64x64 crop.
"""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

NUM_CLASSES = 5
CROP = 64
BN = dict(type='BN', requires_grad=True)
PYRAMID = [(8, 4), (8, 8), (8, 16), (8, 16)]
COMMON = dict(channels=8, num_classes=NUM_CLASSES, norm_cfg=BN)
SINGLE = dict(in_channels=8, in_index=0, **COMMON)
MULTI = dict(in_channels=[8] * 4, in_index=[0, 1, 2, 3], **COMMON)
ONE_MAP = [(8, 8)]

_UPDATE_HEAD = dict(
    type='KernelUpdateHead',
    num_classes=NUM_CLASSES,
    num_ffn_fcs=2,
    num_heads=2,
    num_mask_fcs=1,
    feedforward_channels=16,
    in_channels=8,
    out_channels=8,
    kernel_updator_cfg=dict(
        type='KernelUpdator',
        in_channels=8,
        feat_channels=8,
        out_channels=8,
        act_cfg=dict(type='ReLU', inplace=True),
        norm_cfg=dict(type='LN'),
    ),
)

ZOO = {
    'ANNHead': (
        dict(in_channels=[8, 8], in_index=[0, 1], project_channels=4, **COMMON),
        [(8, 8), (8, 8)],
    ),
    'APCHead': (dict(pool_scales=(1, 2), **SINGLE), ONE_MAP),
    'ASPPHead': (dict(dilations=(1, 2), **SINGLE), ONE_MAP),
    'CCHead': (SINGLE, ONE_MAP),
    'DAHead': (dict(pam_channels=4, **SINGLE), ONE_MAP),
    'DDRHead': (dict(in_channels=16, in_index=0, **COMMON), [(8, 8), (16, 8)]),
    'DMHead': (dict(filter_sizes=(1, 3), **SINGLE), ONE_MAP),
    'DNLHead': (SINGLE, ONE_MAP),
    'DPTHead': (
        dict(
            in_channels=[8] * 4,
            in_index=[0, 1, 2, 3],
            input_transform='multiple_select',
            embed_dims=8,
            post_process_channels=[4, 8, 8, 8],
            **COMMON,
        ),
        [(8, 16)] * 4,
    ),
    'DepthwiseSeparableASPPHead': (
        dict(
            in_channels=8, in_index=1, dilations=(1, 2), c1_in_channels=8, c1_channels=4, **COMMON
        ),
        [(8, 4), (8, 8)],
    ),
    'DepthwiseSeparableFCNHead': (dict(num_convs=1, **SINGLE), ONE_MAP),
    'EMAHead': (dict(ema_channels=8, num_bases=4, num_stages=2, **SINGLE), ONE_MAP),
    'EncHead': (
        dict(in_channels=[8, 8], in_index=[0, 1], num_codes=4, **COMMON),
        [(8, 8), (8, 8)],
    ),
    'FCNHead': (dict(num_convs=1, **SINGLE), ONE_MAP),
    'FPNHead': (dict(feature_strides=[4, 8, 16, 16], **MULTI), PYRAMID),
    'GCHead': (SINGLE, ONE_MAP),
    'ISAHead': (dict(isa_channels=4, down_factor=(2, 2), **SINGLE), ONE_MAP),
    'IterativeDecodeHead': (
        dict(
            num_stages=2,
            kernel_update_head=[_UPDATE_HEAD] * 2,
            kernel_generate_head=dict(type='FCNHead', num_convs=1, **SINGLE),
        ),
        ONE_MAP,
    ),
    'LRASPPHead': (
        dict(
            in_channels=(4, 4, 8),
            in_index=(0, 1, 2),
            input_transform='multiple_select',
            branch_channels=(4, 4),
            **COMMON,
        ),
        [(4, 1), (4, 1), (8, 1)],
    ),
    'LightHamHead': (
        dict(
            in_channels=[8, 8, 8],
            in_index=[1, 2, 3],
            ham_channels=8,
            ham_kwargs=dict(MD_R=2),
            channels=8,
            num_classes=NUM_CLASSES,
            norm_cfg=dict(type='GN', num_groups=2),
        ),
        PYRAMID,
    ),
    'NLHead': (SINGLE, ONE_MAP),
    'OCRHead': (dict(ocr_channels=4, **SINGLE), ONE_MAP),
    'PIDHead': (dict(in_channels=8, in_index=0, **COMMON), [(4, 8), (8, 8), (4, 8)]),
    'PSAHead': (dict(mask_size=(8, 8), **SINGLE), ONE_MAP),
    'PSPHead': (dict(pool_scales=(1, 2), **SINGLE), ONE_MAP),
    'PointHead': (
        dict(in_channels=[8], in_index=[0], num_fcs=2, channels=8, num_classes=NUM_CLASSES),
        ONE_MAP,
    ),
    'SETRMLAHead': (dict(mla_channels=2, **MULTI), [(8, 16)] * 4),
    'SETRUPHead': (SINGLE, ONE_MAP),
    'SegformerHead': (MULTI, PYRAMID),
    'SegmenterMaskTransformerHead': (
        dict(
            num_layers=1,
            num_heads=2,
            embed_dims=8,
            dropout_ratio=0.0,
            in_channels=8,
            in_index=0,
            channels=8,
            num_classes=NUM_CLASSES,
        ),
        ONE_MAP,
    ),
    'UPerHead': (dict(pool_scales=(1, 2), **MULTI), PYRAMID),
}
# As in the stock configs: DDR and PID call their losses without an ignore index, which only the
# OHEM cross entropy knows by itself.
_OHEM = dict(type='OhemCrossEntropy', thres=0.9, min_kept=100)
ZOO['DDRHead'][0]['loss_decode'] = [_OHEM, _OHEM]
ZOO['PIDHead'][0]['loss_decode'] = [
    dict(type='CrossEntropyLoss', loss_weight=0.4),
    _OHEM,
    dict(type='BoundaryLoss', loss_weight=20.0),
    _OHEM,
]

# Heads that import compiled ops of mmcv when they are built.
NEEDS_OPS = ('CCHead', 'PSAHead')
# Heads whose loss() takes the prediction of an earlier head.
CASCADE = ('OCRHead', 'PointHead')
TRAIN_CFG = dict(num_points=12, oversample_ratio=3, importance_sample_ratio=0.75)

# Backbone of the segmentors: 8 and 16 channels at strides 4 and 8.
NARROW_RESNET = dict(
    type='ResNetV1c',
    depth=18,
    stem_channels=8,
    base_channels=8,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(0, 1),
)


def make_inputs(name: str, batch: int = 2, seed: int = 0) -> list:
    """Random maps (batch, channels, CROP / stride, CROP / stride) that require gradient.

    For DPTHead each map comes with a class token, as its backbone yields them.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    maps = [random(batch, channels, CROP // step, CROP // step) for channels, step in ZOO[name][1]]
    if name == 'DPTHead':
        return [(value, random(batch, value.shape[1])) for value in maps]
    return maps


def make_samples(batch: int = 2, seed: int = 0, ignored: float = 0.1) -> list[SegDataSample]:
    """Random labels with some ignored pixels, and edge maps for the heads that want them."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(batch):
        labels = torch.randint(0, NUM_CLASSES, (1, CROP, CROP), generator=generator)
        labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
        edges = torch.randint(0, 2, (1, CROP, CROP), generator=generator)
        samples.append(
            SegDataSample(gt_sem_seg=PixelData(data=labels), gt_edge_map=PixelData(data=edges))
        )
    return samples


def loss_arguments(name: str, batch: int = 2, seed: int = 0) -> tuple:
    """Positional arguments of ``loss()``, with the earlier prediction for cascade heads."""
    arguments = [make_inputs(name, batch, seed)]
    if name in CASCADE:
        grid = CROP // ZOO[name][1][0][1]
        generator = torch.Generator().manual_seed(seed)
        arguments.append(torch.randn(batch, NUM_CLASSES, grid, grid, generator=generator))
    return (*arguments, make_samples(batch, seed), ConfigDict(TRAIN_CFG))
