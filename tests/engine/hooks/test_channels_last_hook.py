"""The order of the weights changes, the values do not."""

from types import SimpleNamespace

import torch
from torch import nn

from paco_seg.engine.hooks import ChannelsLastHook


def test_weights_and_feature_maps_are_channels_last_and_equal():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).double()
    images = torch.rand(2, 3, 5, 5, dtype=torch.double)
    expected = model(images)
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    found = model(images)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected)
