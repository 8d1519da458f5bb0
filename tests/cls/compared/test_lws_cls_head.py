from __future__ import annotations

import torch
from helpers.contrastive import samples
from mmpretrain.registry import MODELS
from torch.testing import assert_close


def test_crt_twin_lws_scales_the_logits_of_a_fixed_classifier():
    torch.manual_seed(0)
    head = MODELS.build(dict(type='LWSClsHead', num_classes=5, in_channels=6))
    feats = (torch.randn(4, 6),)
    assert torch.equal(head(feats), head.fc(feats[0]))  # scales start at 1
    head.scales.data.copy_(torch.tensor([0.0, 1, -1, 0.5, 2]))  # any number, as released
    assert_close(head(feats), head.fc(feats[0]) * head.scales)
    head.loss(feats, samples([0, 1, 2, 4]))['loss'].backward()
    assert head.scales.grad.any()
    assert head.fc.weight.grad is None
    assert head.fc.bias.grad is None


def test_a_checkpoint_with_logarithms_of_the_scales_loads():
    head = MODELS.build(dict(type='LWSClsHead', num_classes=5, in_channels=6))
    logarithms = torch.tensor([0.0, 1, -1, 0.5, 2])
    state = {key: value for key, value in head.state_dict().items() if key != 'scales'}
    head.load_state_dict({**state, 'log_scales': logarithms})
    assert_close(head.scales.detach(), logarithms.exp())
