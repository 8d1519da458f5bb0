"""GPaCo on heads inside a segmentor: paper semantics, binary heads, precision, compile, AMP."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.head_zoo import (
    CROP,
    NARROW_RESNET,
    NUM_CLASSES,
    loss_arguments,
    make_inputs,
    make_samples,
)
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.seg.heads import GPaCoDecodeHead
from paco_seg.seg.heads.projector import conv_projector

BN = dict(type='BN', requires_grad=True)
FCN = dict(
    base_type='FCNHead',
    in_channels=8,
    in_index=0,
    channels=8,
    num_convs=1,
    concat_input=False,
    num_classes=NUM_CLASSES,
    norm_cfg=BN,
)


def build(**settings):
    return MODELS.build({'type': 'GPaCoDecodeHead', **FCN, **settings})


def loss_of_map(branch, feature, logits, labels):
    """The loss of all pixels, projected as a map."""
    rows = F.normalize(branch.projector(feature).flatten(2).transpose(1, 2), dim=-1)
    centers = logits.flatten(2).transpose(1, 2)
    return branch.loss_contrast(rows, labels.flatten(1), centers, ignore_index=255)


def test_projector_is_the_published_one():
    projector = conv_projector(512, norm_cfg=dict(type='SyncBN'))
    shapes = [tuple(value.shape) for value in projector.state_dict().values() if value.dim() == 4]
    assert shapes == [(512, 512, 1, 1), (512, 512, 1, 1), (128, 512, 1, 1)]
    assert [layer.conv.bias for layer in projector[:2]] == [None, None]
    assert projector[2].bias is not None
    assert all(isinstance(layer.norm, torch.nn.SyncBatchNorm) for layer in projector[:2])


def test_loss_is_that_of_the_tapped_feature_and_logits():
    """The contrast sees the feature before dropout and the logits that cross entropy sees."""
    torch.manual_seed(0)
    head = build(dropout_ratio=0.5, loss_contrast=dict(num_pixels=-1))
    inputs, samples = make_inputs('FCNHead'), make_samples()
    torch.manual_seed(1)
    loss = head.loss(inputs, samples, None)['loss_gpaco']

    torch.manual_seed(1)
    feature = head._forward_feature(inputs)
    logits = head.cls_seg(feature)
    # Nearest labels: pixel (8 i, 8 j) of the 64 x 64 crop on an 8 x 8 map.
    labels = torch.stack([s.gt_sem_seg.data[0, ::8, ::8] for s in samples])
    branch = head.training_branches.gpaco
    expected = loss_of_map(branch, feature, logits, labels)
    torch.testing.assert_close(loss, expected)


def test_projecting_the_drawn_pixels_equals_projecting_all():
    """Values and the gradients of all parameters, with pixels drawn."""
    head = build(dropout_ratio=0.0, loss_contrast=dict(num_pixels=9))
    branch = head.training_branches['gpaco']
    inputs, samples = make_inputs('FCNHead'), make_samples()
    results = []
    for project_all in (False, True):
        if project_all:
            last, branch._project = branch.projector[-1], lambda rows: rows
            branch.projector.append(torch.nn.Identity())
        torch.manual_seed(1)
        loss = head.loss(inputs, samples, None)['loss_gpaco']
        results.append([loss, *torch.autograd.grad(loss, list(branch.parameters()))])
    assert branch.projector[-2] is last
    for drawn, everything in zip(*results, strict=True):
        torch.testing.assert_close(drawn, everything, rtol=1e-4, atol=1e-6)


def test_labels_follow_the_ignore_index_of_the_head():
    head = build(ignore_index=7)
    samples = make_samples(ignored=0.0)
    for sample in samples:
        sample.gt_sem_seg.data[:, ::3] = 7
    losses = head.loss(make_inputs('FCNHead'), samples, None)
    assert torch.isfinite(losses['loss_gpaco'])


def test_the_ignored_pixels_are_those_of_the_stock_head():
    """ignore_index=0: the logits of the same pixels get a gradient from both losses."""
    torch.manual_seed(0)
    head = build(
        ignore_index=0, dropout_ratio=0.0, loss_contrast=dict(num_pixels=-1), align_corners=True
    )
    samples = make_samples(ignored=0.0)
    for sample in samples:  # on the grid of the features: no pixel of a loss is a mixture
        sample.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data[:, ::8, ::8])
    seen = []
    cls_seg = head.cls_seg
    head.cls_seg = lambda feature: seen.append(cls_seg(feature)) or seen[-1]
    losses = head.loss(make_inputs('FCNHead'), samples, None)
    (logits,) = seen
    moved = [
        torch.autograd.grad(losses[key], logits, retain_graph=True)[0].abs().sum(dim=1) > 0
        for key in ('loss_ce', 'loss_gpaco')
    ]
    assert torch.equal(moved[0], torch.stack([s.gt_sem_seg.data[0] != 0 for s in samples]))
    assert torch.equal(*moved)


def test_all_ignored_crop_gives_zero_and_gradients_everywhere():
    head = build()
    losses = head.loss(make_inputs('FCNHead'), make_samples(ignored=2.0), None)
    assert losses['loss_gpaco'] == 0
    losses['loss_gpaco'].backward()
    assert all(p.grad is not None for p in head.training_branches.parameters())


@pytest.mark.parametrize('loss', [dict(type='CrossEntropyLoss', use_sigmoid=True)])
def test_one_sigmoid_logit_counts_as_two_classes(loss):
    head = build(num_classes=2, out_channels=1, threshold=0.3, loss_decode=loss, dropout_ratio=0)
    head.eval()  # batch norm with fixed statistics: the same feature twice
    samples = make_samples()
    for sample in samples:
        valid = sample.gt_sem_seg.data != 255
        sample.gt_sem_seg.data[valid] = sample.gt_sem_seg.data[valid] % 2
    inputs = make_inputs('FCNHead')
    loss_value = head.loss(inputs, samples, None)['loss_gpaco']
    branch = head.training_branches.gpaco
    feature = head._forward_feature(inputs)
    logit = head.cls_seg(feature)
    two = torch.cat([F.logsigmoid(-logit), F.logsigmoid(logit)], dim=1)
    # Log-probabilities differ from (0, logit) by a constant per pixel, which the center part of
    # the denominator sees: compare with the logits themselves.
    two = two - F.logsigmoid(-logit)
    labels = torch.stack([s.gt_sem_seg.data[0, ::8, ::8] for s in samples])
    expected = loss_of_map(branch, feature, two, labels)
    torch.testing.assert_close(loss_value, expected)


def segmentor(**head):
    """EncoderDecoder of a narrow ResNet with GPaCo on the main and the auxiliary head."""
    common = dict(
        type='GPaCoDecodeHead',
        num_classes=NUM_CLASSES,
        channels=8,
        norm_cfg=dict(type='SyncBN'),
        projector=dict(out_channels=8),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=16),
    )
    common.update(head)
    return dict(
        type='EncoderDecoder',
        backbone=dict(NARROW_RESNET, norm_cfg=dict(type='SyncBN'), with_cp=True),
        decode_head=dict(
            base_type='PSPHead', in_channels=16, in_index=1, pool_scales=(1, 2), **common
        ),
        auxiliary_head=dict(base_type='FCNHead', in_channels=8, in_index=0, num_convs=1, **common),
        test_cfg=dict(mode='whole'),
    )


def test_segmentor_with_sync_bn_checkpointing_and_auxiliary_gpaco():
    model = revert_sync_batchnorm(MODELS.build(segmentor()))
    assert type(model.decode_head).__name__.endswith('PSPHead')
    losses = model.loss(torch.randn(2, 3, CROP, CROP), make_samples())
    assert {'decode.loss_gpaco', 'aux.loss_gpaco', 'decode.loss_ce'} <= set(losses)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    parameters = model.decode_head.training_branches.parameters()
    assert all(p.grad.abs().sum() > 0 for p in parameters)


def test_bf16_autocast_stays_close_to_float32():
    torch.manual_seed(0)
    head = build(dropout_ratio=0, loss_contrast=dict(num_pixels=-1))
    arguments = loss_arguments('FCNHead')
    exact = head.loss(*arguments)['loss_gpaco']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = head.loss(*arguments)['loss_gpaco']
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0.05)


def test_compiled_head_gives_the_same_losses():
    torch.manual_seed(0)
    head = build(dropout_ratio=0, loss_contrast=dict(num_pixels=-1))
    inputs, samples, train_cfg = loss_arguments('FCNHead')

    def loss(inputs):
        return head.loss(inputs, samples, train_cfg)['loss_gpaco']

    expected = loss(inputs)
    compiled = torch.compile(loss, backend='aot_eager')(inputs)
    torch.testing.assert_close(compiled, expected)
    compiled.backward()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(projector=dict(num_layers=0)), r'projector.num_layers: expected >= 1, got 0'),
        (dict(projector=dict(num_layers=10**14)), r'projector.num_layers: .* in \[1, 1000\], got'),
        (dict(projector=dict(out_channels=0)), r'projector.out_channels: expected >= 1, got 0'),
        (dict(projector=dict(hidden_channels=-2)), r'projector.hidden_channels: expected >= 1'),
        (dict(loss_contrast=dict(alpha=-0.1)), r'loss_contrast.alpha: expected > 0, got -0.1'),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_the_name_of_the_branch_is_taken():
    branches = dict(gpaco=dict(type='RegionRebalanceBranch'))
    with pytest.raises(ValueError, match=r'^training_branches\.gpaco: expected another name'):
        GPaCoDecodeHead(base_type='FCNHead', training_branches=branches)
