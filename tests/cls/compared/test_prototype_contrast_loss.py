from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch.testing import assert_close

from paco_seg.core.compared import simplex_etf


def build(**settings):
    torch.manual_seed(0)
    settings = dict(num_classes=5, channels=4) | settings
    return MODELS.build(dict(type='PrototypeContrastLoss', **settings)).double()


def batch():
    rows = F.normalize(torch.randn(6, 4, dtype=torch.float64))
    return rows, torch.tensor([0, 1, 1, 3, 4, 2])


@pytest.mark.parametrize('temperature', [0.1, 1.0])
def test_hybrid_check_2_softplus_is_the_cosine_softmax(temperature):
    loss = build(temperature=temperature)
    rows, labels = batch()
    logits = rows @ F.normalize(loss.prototypes[:, 0]).T / temperature
    for row, label, logit in zip(rows, labels, logits, strict=True):
        value = loss(row[None], label[None])
        expected = F.cross_entropy(logit, label)
        assert_close(F.softplus(value, threshold=1e3), expected)


def test_hybrid_check_3_may_be_negative_and_is_not_clamped():
    loss = build(num_classes=100, channels=100, temperature=0.1)
    frame = simplex_etf(100, 100, seed=0).double()
    loss.prototypes.data.copy_(frame[:, None])
    value = loss(frame, torch.arange(100)).item()
    assert value == pytest.approx(math.log(99) - 100 / 9.9)
    assert value == pytest.approx(-5.50589, abs=1e-5)


def test_hybrid_check_5_a_split_batch_averages_exactly():
    loss = build()
    rows, labels = batch()
    halves = [loss(rows[part], labels[part]) for part in (slice(0, 3), slice(3, 6))]
    assert_close(sum(halves) / 2, loss(rows, labels))


def test_prototypes_start_on_the_sphere():
    lengths = build().prototypes.norm(dim=-1)
    assert_close(lengths, torch.ones_like(lengths))


def test_hybrid_weight_decay_on_the_prototypes_has_no_effect_on_the_loss():
    loss = build()
    value = loss(*(pair := batch()))
    loss.prototypes.data.mul_(0.5)
    assert_close(loss(*pair), value)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_classes=1), r'num_classes: expected >= 2'),
        (dict(temperature=0), r'temperature: expected > 0'),
        (dict(prototypes_per_class=0), r'prototypes_per_class: expected >= 1'),
    ],
)
def test_hybrid_prototype_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=r'^PrototypeContrastLoss\.' + message):
        build(**settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_classes=2.0), r'num_classes: expected an integer, got 2.0'),
        (dict(channels=True), r'channels: expected an integer, got True'),
        (dict(prototypes_per_class=1.5), r'prototypes_per_class: expected an integer, got 1.5'),
    ],
)
def test_hybrid_prototype_settings_of_another_kind(settings, message):
    with pytest.raises((TypeError, ValueError), match=r'^PrototypeContrastLoss\.' + message):
        build(**settings)
