from __future__ import annotations

import pytest
import torch
from torch import nn

from paco_seg.cls.heads import linear_projector


def layers(*args, **kwargs):
    return [type(layer).__name__ for layer in linear_projector(*args, **kwargs)]


def test_gpaco_has_three_layers_without_norm():
    assert layers(8) == ['Linear', 'ReLU', 'Linear', 'ReLU', 'Linear']


def test_paco_and_vit_variants():
    assert layers(8, num_layers=2, norm='BN1d') == ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']
    assert layers(8, num_layers=2, act='GELU') == ['Linear', 'GELU', 'Linear']


def test_widths():
    projector = linear_projector(8, hidden_channels=5, out_channels=3)
    linear = [layer for layer in projector if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(8, 5), (5, 5), (5, 3)]
    assert projector(torch.zeros(2, 8)).shape == (2, 3)
    assert linear_projector(8)[0].out_features == 8


@pytest.mark.parametrize('name', ['num_layers', 'hidden_channels', 'out_channels'])
def test_settings_out_of_range(name):
    with pytest.raises(ValueError, match=rf'^model\.head\.projector\.{name}: expected >= 1, got 0'):
        linear_projector(8, **{name: 0})


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('num_layers', 1.5),
        ('out_channels', True),
        ('hidden_channels', '8'),
        ('kaiming_last', 'no'),
        ('norm', 7),
        ('act', {'type': 'ReLU'}),
    ],
)
def test_settings_of_another_kind(name, value):
    with pytest.raises(TypeError, match=rf'^model\.head\.projector\.{name}: expected '):
        linear_projector(8, **{name: value})


def test_a_number_of_layers_that_would_fill_the_memory():
    with pytest.raises(ValueError, match=r'projector\.num_layers: expected a value in \[1, 1000\]'):
        linear_projector(8, num_layers=10**14)
