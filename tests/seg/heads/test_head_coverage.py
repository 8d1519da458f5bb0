"""Every decode head of MMSegmentation carries GPaCo, or is refused with a reason."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from helpers.head_zoo import CASCADE, NEEDS_OPS, NUM_CLASSES, ZOO, loss_arguments, make_inputs
from helpers.point_sampling import without_ops
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from mmseg.models import decode_heads
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.seg.heads.feature_taps import (
    MASK_HEADS,
    REFUSED_HEADS,
    MaskClassificationTap,
    tap_for,
)
from tests.conftest import load_script

BUILD = load_script(Path(__file__).parents[3] / 'docs' / 'build.py')
stock_heads = BUILD.stock_heads


def _ops_missing(name: str) -> str | None:
    try:
        MODELS.build(dict(type=name, **copy.deepcopy(ZOO[name][0])))
    except (RuntimeError, ImportError, ModuleNotFoundError) as error:
        return str(error).split('.')[0]
    return None


@pytest.fixture(params=sorted(ZOO))
def head(request, monkeypatch):
    """Name and arguments of each head that can be built here."""
    name = request.param
    if name == 'PointHead':
        without_ops(monkeypatch)
    if name in NEEDS_OPS and (reason := _ops_missing(name)):
        pytest.skip(f'{name} needs the compiled ops of mmcv: {reason}')
    with DefaultScope.overwrite_default_scope('mmseg'):  # K-Net builds its parts by short names
        yield name, copy.deepcopy(ZOO[name][0])


def build(name, arguments, **gpaco):
    """A GPaCo head with few pixels and an 8-channel projector."""
    settings = dict(
        projector=dict(out_channels=8, norm_cfg=dict(type='BN')),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=20),
    )
    settings.update(gpaco)
    return MODELS.build(dict(type='GPaCoDecodeHead', base_type=name, **arguments, **settings))


def test_every_stock_head_is_in_the_zoo_or_refused():
    assert set(stock_heads()) == set(ZOO) | set(REFUSED_HEADS)


def test_trains_and_reaches_every_part(head):
    name, arguments = head
    torch.manual_seed(0)
    model = build(name, arguments)
    inputs, *rest = loss_arguments(name)
    losses = model.loss(inputs, *rest)
    assert 0 < losses['loss_gpaco'] < float('inf')
    losses['loss_gpaco'].backward()
    projector = model.training_branches.gpaco.projector
    assert all(parameter.grad.abs().sum() > 0 for parameter in projector[-1].parameters())
    # The contrast reaches the class centers and the features below.
    others = [p for n, p in model.named_parameters() if 'training_branches' not in n]
    assert sum(0 if p.grad is None else float(p.grad.abs().sum()) for p in others) > 0
    maps = [value[0] if isinstance(value, tuple) else value for value in inputs]
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in maps)
    assert model._taps is None


def test_stock_losses_and_weights_are_untouched(head):
    name, arguments = head
    torch.manual_seed(0)
    stock = MODELS.build(dict(type=name, **copy.deepcopy(arguments)))
    model = build(name, arguments)
    result = model.load_state_dict(stock.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys
    assert all('projector' in key for key in result.missing_keys)
    assert isinstance(model, type(stock))

    torch.manual_seed(1)
    expected = stock.loss(*loss_arguments(name))
    torch.manual_seed(1)
    losses = model.loss(*loss_arguments(name))
    assert set(losses) == {*expected, 'loss_gpaco'}
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value, rtol=0, atol=0)


def test_inference_equals_stock_and_never_projects(head, monkeypatch):
    name, arguments = head
    stock = MODELS.build(dict(type=name, **copy.deepcopy(arguments))).eval()
    model = build(name, arguments).eval()
    model.load_state_dict(stock.state_dict(), strict=False)

    def refuse(*args):
        raise AssertionError('the projector ran at inference')

    monkeypatch.setattr(model.training_branches.gpaco, 'forward', refuse)
    inputs = make_inputs(name)
    if name == 'PointHead':  # forward() of this head takes points; the loss covers them
        points = torch.rand(2, 6, 2)
        features = model._get_fine_grained_point_feats(inputs, points)
        coarse = torch.randn(2, NUM_CLASSES, 6)
        arguments = (features, coarse)
    elif name in CASCADE:
        arguments = (inputs, loss_arguments(name)[1])
    elif name in ('DDRHead', 'PIDHead'):  # at inference their backbones yield one map
        arguments = (inputs[1],)
    else:
        arguments = (inputs,)
    # EMAHead updates its bases and LightHamHead draws them: equal random state for both.
    torch.manual_seed(2)
    with torch.no_grad():
        expected = stock(*arguments)
    torch.manual_seed(2)
    with torch.no_grad():
        torch.testing.assert_close(model(*arguments), expected, rtol=0, atol=0)


@pytest.mark.parametrize('name', sorted(REFUSED_HEADS))
def test_impossible_heads_are_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f'base_type: {name} cannot carry .* it '):
        tap_for(getattr(decode_heads, name))


@pytest.mark.parametrize('name', MASK_HEADS)
def test_mask_classification_heads_are_tapped_where_they_build(name):
    head = getattr(decode_heads, name)
    if head.__bases__ == (BaseModule,):  # MMSegmentation found no MMDetection
        with pytest.raises(ValueError, match=f'base_type: {name} cannot be built here: '):
            tap_for(head)
    else:
        assert tap_for(head) is MaskClassificationTap
