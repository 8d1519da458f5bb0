from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import COUNTS, golden_inputs, samples
from mmpretrain.registry import MODELS


def build(**settings):
    settings = dict(class_prior=COUNTS) | settings
    return MODELS.build(dict(type='BalancedSoftmaxLoss', **settings)).double()


def expected(tau=1.0, **kwargs):
    g = golden_inputs()
    prior = torch.tensor(COUNTS, dtype=torch.float64)
    return F.cross_entropy(g.l1 + tau * (prior / prior.sum()).log(), g.labels, **kwargs)


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
def test_is_cross_entropy_of_logits_with_the_log_prior(tau):
    g = golden_inputs()
    torch.testing.assert_close(build(tau=tau)(g.l1, g.labels), expected(tau))


def test_reductions():
    g = golden_inputs()
    each = expected(reduction='none')
    torch.testing.assert_close(build(reduction='none')(g.l1, g.labels), each)
    torch.testing.assert_close(build(reduction='sum')(g.l1, g.labels), each.sum())
    torch.testing.assert_close(build()(g.l1, g.labels, reduction_override='none'), each)
    torch.testing.assert_close(build()(g.l1, g.labels, avg_factor=8), each.sum() / 8)
    weight = torch.tensor([1.0, 0, 0, 2], dtype=torch.float64)
    torch.testing.assert_close(
        build(loss_weight=2.0)(g.l1, g.labels, weight), 2 * (each * weight).mean()
    )


def test_in_a_stock_head():
    head = MODELS.build(
        dict(
            type='LinearClsHead',
            num_classes=5,
            in_channels=5,
            loss=dict(type='BalancedSoftmaxLoss', class_prior=COUNTS),
        )
    ).double()
    head.fc.weight.data.copy_(torch.eye(5))
    head.fc.bias.data.zero_()
    g = golden_inputs()
    losses = head.loss((g.l1,), samples(g.labels))
    torch.testing.assert_close(losses['loss'], expected())


def test_soft_labels_are_refused():
    g = golden_inputs()
    with pytest.raises(ValueError, match=r'got soft labels of shape \(4, 5\).*remove Mixup'):
        build()(g.l1, F.one_hot(g.labels, 5))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(tau=-1), 'tau: expected >= 0'),
        (dict(reduction='max'), "reduction: expected one of 'mean', 'sum', 'none'"),
        (dict(class_prior=[1, 0]), 'class_prior: expected positive finite'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=r'^model\.head\.loss\.' + message):
        build(**settings)


def test_prior_of_wrong_length():
    g = golden_inputs()
    with pytest.raises(
        ValueError, match='class_prior: expected 5 values, as num_classes of the head, got 2'
    ):
        build(class_prior=[3, 1])(g.l1, g.labels)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(tau=float('inf')), 'tau: expected >= 0 and finite, got inf'),
        (dict(tau=True), 'tau: expected a number, got True'),
    ],
)
def test_settings_of_another_kind(settings, message):
    with pytest.raises((TypeError, ValueError), match=r'^model\.head\.loss\.' + message):
        build(**settings)
