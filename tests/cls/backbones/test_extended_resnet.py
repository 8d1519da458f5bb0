import pytest
import torch
from mmpretrain.models.backbones import ResNet
from mmpretrain.registry import MODELS
from torch import nn

from paco_seg.cls.backbones import ExtendedResNet


@pytest.fixture
def tiny():
    return dict(type='ExtendedResNet', depth=50, stem_channels=4, base_channels=4)


def test_depth_200():
    net = MODELS.build(dict(type='ExtendedResNet', depth=200, stem_channels=4, base_channels=4))
    assert [len(getattr(net, name)) for name in net.res_layers] == [3, 24, 36, 3]
    assert not ResNet.arch_settings.keys() & {200}


def test_same_names_as_the_stock_network(tiny):
    stock = ResNet(depth=50, stem_channels=4, base_channels=4)
    assert list(MODELS.build(tiny).state_dict()) == list(stock.state_dict())


def test_all_convolutions_but_the_last_block_are_frozen(tiny):
    net = MODELS.build(dict(tiny, trainable_convs=('layer4.2',)))
    net.init_weights()
    net.train()
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    convs = {f'{name}.weight' for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    assert trained & convs == {f'layer4.2.conv{i}.weight' for i in (1, 2, 3)}
    # BatchNorm keeps training: affine parameters and running statistics of the whole network
    norms = {n for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {f'{n}.{p}' for n in norms for p in ('weight', 'bias')} == trained - convs
    before = net.bn1.running_mean.clone()
    net(torch.randn(2, 3, 32, 32))[0].sum().backward()
    assert not torch.equal(net.bn1.running_mean, before)
    assert net.conv1.weight.grad is None
    assert net.bn1.weight.grad is not None


def test_prefixes_end_at_dots():
    net = ExtendedResNet(
        152, stem_channels=4, base_channels=4, trainable_convs=('layer3.1', 'conv1')
    )
    trained = {n for n, p in net.named_parameters() if p.requires_grad and 'conv' in n}
    assert trained == {'conv1.weight', *(f'layer3.1.conv{i}.weight' for i in (1, 2, 3))}


def test_unknown_module(tiny):
    with pytest.raises(ValueError, match=r"trainable_convs: .* got 'layer4\.3'"):
        MODELS.build(dict(tiny, trainable_convs=('layer4.3',)))
