"""Heads with `fc` on the checkpoint of a vision transformer, whose classifier has another key."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.registry import MODELS

from paco_seg.cls.heads.linear_keys import rename_linear_keys

HEADS = ['LogitAdjustedClsHead', 'TauNormClsHead', 'LWSClsHead', 'GPaCoClsHead', 'PaCoClsHead']


def test_only_the_classifier_of_this_head_is_renamed():
    state = {'head.layers.head.weight': 1, 'head.layers.head.bias': 2, 'layers.head.weight': 3}
    rename_linear_keys(state, 'head.')
    assert state == {'head.fc.weight': 1, 'head.fc.bias': 2, 'layers.head.weight': 3}


def test_fc_goes_ahead():
    state = {'layers.head.weight': 1, 'fc.weight': 2}
    rename_linear_keys(state, '')
    assert state == {'fc.weight': 2}


@pytest.mark.parametrize('name', HEADS)
def test_heads_load_the_classifier_of_a_vision_transformer(name):
    sizes = dict(num_classes=5, in_channels=6)
    source = MODELS.build(dict(type='VisionTransformerClsHead', **sizes))
    torch.nn.init.uniform_(source.layers.head.weight)
    holder = torch.nn.Module()
    holder.head = MODELS.build(dict(type=name, **sizes))
    state = {f'head.{key}': value for key, value in source.state_dict().items()}
    missing, unexpected = holder.load_state_dict(state, strict=False)
    assert not unexpected
    assert not {'head.fc.weight', 'head.fc.bias'} & set(missing)
    assert torch.equal(holder.head.fc.weight, source.layers.head.weight)
    assert torch.equal(holder.head.fc.bias, source.layers.head.bias)
