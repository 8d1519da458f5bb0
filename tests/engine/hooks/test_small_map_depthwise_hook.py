"""Another way to the same gradients."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from paco_seg.engine.hooks import SmallMapDepthwiseHook
from paco_seg.engine.hooks.small_map_depthwise_hook import SmallMapDepthwiseConv2d


@pytest.mark.parametrize('stride', [1, 2, (1, 2)])
@pytest.mark.parametrize(('kernel', 'padding'), [(5, 2), ((3, 5), (0, 2)), (3, 1)])
@pytest.mark.parametrize('size', [(4, 4), (3, 5), (9, 9)])
@pytest.mark.parametrize('bias', [True, False])
def test_outputs_and_gradients_are_those_of_the_convolution(stride, kernel, padding, size, bias):
    torch.manual_seed(0)
    usual = nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=bias).double()
    changed = copy.deepcopy(usual)
    SmallMapDepthwiseHook().before_run(SimpleNamespace(model=nn.Sequential(changed)))
    assert type(changed) is SmallMapDepthwiseConv2d
    images = torch.randn(3, 6, *size, dtype=torch.double)
    weights = None
    found = []
    for layer in (usual, changed):
        inputs = images.clone().requires_grad_()
        out = layer(inputs)
        weights = torch.randn_like(out) if weights is None else weights
        (out * weights).sum().backward()
        found.append([out, inputs.grad, *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(found[1], found[0])


def test_only_plain_depthwise_convolutions_change():
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2),
        nn.Conv2d(4, 4, 3, groups=4, padding='same'),
        nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode='reflect'),
        nn.Conv2d(4, 4, 3, groups=4, padding=1),
    )
    names = list(layers.state_dict())
    SmallMapDepthwiseHook().before_run(SimpleNamespace(model=layers))
    assert [type(layer) is SmallMapDepthwiseConv2d for layer in layers] == [False] * 5 + [True]
    assert list(layers.state_dict()) == names


def test_a_frozen_weight_gets_no_gradient():
    layer = nn.Conv2d(4, 4, 5, padding=2, groups=4).requires_grad_(False)
    SmallMapDepthwiseHook().before_run(SimpleNamespace(model=nn.Sequential(layer)))
    images = torch.randn(2, 4, 3, 3, requires_grad=True)
    layer(images).sum().backward()
    assert layer.weight.grad is None
    assert images.grad is not None
