from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import COUNTS, golden_inputs, gpaco_terms
from mmpretrain.registry import MODELS


def build(**settings):
    return MODELS.build(dict(type='MultiTaskSupConLoss', **settings)).double()


@pytest.mark.parametrize('impl', ['dense', 'streaming'])
@pytest.mark.parametrize(('prior', 'expected'), [(COUNTS, 4.49076), (None, 3.66516)])
def test_golden_values(prior, expected, impl):
    """Long-tailed data with the released weights (all 1), and balanced CIFAR-100."""
    rows, keys = gpaco_terms()
    loss = build(alpha=0.5, temperature=0.2, class_prior=prior, impl=impl)(*rows, **keys)
    assert loss.item() == pytest.approx(expected, abs=6e-6)


def test_effective_numbers_weigh_the_contrast_of_rare_classes_more():
    rows, keys = gpaco_terms()
    effective = torch.tensor([(1 - 0.999**n) / (1 - 0.999) for n in COUNTS], dtype=torch.float64)
    weights = effective.mean() / effective
    # per anchor: what is left of the released loss without its cross entropy
    prior = torch.tensor(COUNTS, dtype=torch.float64)
    cross_entropy = F.cross_entropy(rows[2] + (prior / prior.sum()).log(), rows[1])
    contrast = 0.0
    for index, label in enumerate(rows[1]):
        z, everyone = rows[0][index], torch.cat([rows[0], keys['keys']])
        similarity = everyone @ z / 0.2
        others = torch.arange(len(everyone)) != index
        positive = others & (torch.cat([rows[1], keys['key_labels']]) == label)
        value = similarity[others].logsumexp(0) - similarity[positive].mean()
        contrast += weights[label] * value / len(rows[1])
    loss = build(alpha=0.5, class_prior=COUNTS, weighting='effective_number')(*rows, **keys)
    assert loss.item() == pytest.approx((cross_entropy + 0.5 * contrast).item(), rel=1e-6)


def test_label_smoothing_is_that_of_torch():
    g = golden_inputs()
    loss = build(alpha=0.0, class_prior=None, label_smoothing=0.1)(g.q, g.labels, g.l1)
    expected = F.cross_entropy(g.l1, g.labels, label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(alpha=-1), r'alpha: expected >= 0'),
        (dict(weighting='intended'), r"weighting: expected one of 'released', 'effective_number'"),
        (
            dict(weighting='effective_number', class_prior=None),
            r"class_prior: expected class counts .* Set class_prior='auto'",
        ),
        (
            dict(weighting='effective_number', class_prior=[0.7, 0.2, 0.06, 0.03, 0.01]),
            r"class_prior: expected numbers of images for weighting='effective_number', got "
            r'values from 0.01 to 0.7',
        ),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=r'^model\.head\.loss\.' + message):
        build(**settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(alpha=float('inf')), r'alpha: expected >= 0 and finite, got inf'),
        (dict(alpha='auto'), r"alpha: expected a number, got 'auto'"),
        (
            dict(impl='fast'),
            r"impl: expected one of 'auto', 'dense', 'streaming', 'triton', got 'fast'",
        ),
    ],
)
def test_settings_of_another_kind(settings, message):
    with pytest.raises((TypeError, ValueError), match=r'^model\.head\.loss\.' + message):
        build(**settings)
