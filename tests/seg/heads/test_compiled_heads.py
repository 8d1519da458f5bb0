"""``torch.compile`` of decode heads: what GPaCo adds to the breaks of the stock head."""

from __future__ import annotations

import copy

import mmseg.models  # noqa: F401
import pytest
import torch
from helpers.head_zoo import ZOO, loss_arguments
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401


def graph_breaks(name, **config):
    torch._dynamo.reset()
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(dict(copy.deepcopy(ZOO[name][0]), **config)).train()
    try:
        # Compiles with a backend that runs the graphs as they are.
        return torch._dynamo.explain(head.loss)(*loss_arguments(name)).graph_break_count
    finally:
        torch._dynamo.reset()


@pytest.mark.parametrize('name', ['FCNHead', 'SegformerHead'])
def test_at_most_one_break_more_than_the_stock_head(name):
    """MMSeg's accuracy breaks the graph of any head; the branch is one graph after it."""
    gpaco = dict(
        type='GPaCoDecodeHead',
        base_type=name,
        projector=dict(out_channels=8, norm_cfg=dict(type='BN')),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=40, impl='dense'),
    )
    assert graph_breaks(name, **gpaco) <= graph_breaks(name, type=name) + 1


def test_compiled_head_trains_as_the_other():
    name = 'FCNHead'
    losses = []
    for compiled in (False, True):
        torch._dynamo.reset()
        torch.manual_seed(0)
        config = dict(ZOO[name][0], type='GPaCoDecodeHead', base_type=name, dropout_ratio=0.0)
        head = MODELS.build(
            dict(
                config,
                loss_contrast=dict(num_pixels=-1, impl='dense'),
                projector=dict(out_channels=8, norm_cfg=dict(type='BN')),
            )
        ).train()
        loss = torch.compile(head.loss, backend='aot_eager') if compiled else head.loss
        total = sum(v for k, v in loss(*loss_arguments(name)).items() if 'loss' in k)
        total.backward()
        losses.append([total.detach(), *(p.grad for p in head.parameters())])
    torch._dynamo.reset()
    for a, b in zip(*losses, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
