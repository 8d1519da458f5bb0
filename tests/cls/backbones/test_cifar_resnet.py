import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from paco_seg.cls.backbones import CIFARResNet


def test_shape_and_size():
    net = MODELS.build(dict(type='CIFARResNet', depth=32))
    (out,) = net(torch.randn(2, 3, 32, 32))
    assert out.shape == (2, 64, 8, 8)
    # He et al. give 0.46 M for depth 32: the 463 504 here and a classifier of 64 x 10 + 10
    assert sum(p.numel() for p in net.parameters()) + 650 == 464154
    assert sum(isinstance(m, nn.Conv2d) for m in net.modules()) == 31


def test_shortcuts_have_no_parameters():
    net = CIFARResNet(depth=8, base_channels=4)
    net.eval()
    block = net.layer2[0]
    nn.init.zeros_(block.bn2.weight)  # the residual branch is off: what is left is the shortcut
    x = torch.rand(1, 4, 6, 6)
    out = block(x)
    assert out.shape == (1, 8, 3, 3)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert not out[:, :2].any()
    assert not out[:, 6:].any()


def test_kaiming_initialisation():
    net = CIFARResNet()
    net.init_weights()
    std = net.layer3[4].conv1.weight.std().item()
    assert std == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


@pytest.mark.parametrize('depth', [2, 18, 33])
def test_depth(depth):
    with pytest.raises(ValueError, match=rf'depth: expected 6n\+2 .*, got {depth}'):
        CIFARResNet(depth=depth)
