from __future__ import annotations

import pytest
import torch
from helpers.contrastive import COUNTS, gpaco_terms, paco_terms, single_view_terms
from mmpretrain.registry import MODELS

from paco_seg.core.alpha import CLASSIFICATION


def build(**settings):
    return MODELS.build(dict(type='GPaCoLoss', **settings)).double()


# Values of the released loss modules on closed-form inputs (float64, rounded to five decimals).
GOLDEN = {
    'PaCo, prior': (paco_terms, dict(alpha=0.05, class_prior=COUNTS), 6.19407),
    'PaCo': (paco_terms, dict(alpha=0.05, class_prior=None), 4.63083),
    'PaCo, every constant': (
        paco_terms,
        dict(
            alpha=0.3,
            beta=2.0,
            gamma=0.5,
            center_temperature=2.0,
            base_temperature=0.1,
            class_prior=COUNTS,
        ),
        8.89697,
    ),
    'GPaCo, prior': (gpaco_terms, dict(alpha=0.05, class_prior=COUNTS), 6.21813),
    'GPaCo, smoothing': (
        gpaco_terms,
        dict(alpha=0.05, class_prior=None, label_smoothing=0.1),
        4.68984,
    ),
    'MAE, two views': (
        gpaco_terms,
        dict(alpha=0.2, class_prior=None, label_smoothing=0.1),
        4.55110,
    ),
    'MAE, one view': (
        single_view_terms,
        dict(alpha=0.2, class_prior=None, label_smoothing=0.1),
        3.52689,
    ),
}


@pytest.mark.parametrize('impl', ['dense', 'streaming'])
@pytest.mark.parametrize('case', GOLDEN)
def test_golden_values(case, impl):
    terms, settings, expected = GOLDEN[case]
    rows, keys = terms()
    loss = build(temperature=0.2, impl=impl, **settings)(*rows, **keys)
    assert loss.item() == pytest.approx(expected, abs=6e-6)


def test_loss_weight_is_a_factor():
    rows, keys = gpaco_terms()
    one, three = build(class_prior=None), build(class_prior=None, loss_weight=3.0)
    assert three(*rows, **keys).item() == pytest.approx(3 * one(*rows, **keys).item())


def test_auto_prior_equals_the_list():
    rows, keys = gpaco_terms()
    auto, given = build(), build(class_prior=COUNTS)
    auto.class_prior.fill(COUNTS)
    assert auto(*rows, **keys).item() == given(*rows, **keys).item()


def test_prior_may_be_counts_or_frequencies():
    rows, keys = gpaco_terms()
    counts = build(class_prior=COUNTS)
    shares = build(class_prior=[count / sum(COUNTS) for count in COUNTS])
    assert counts(*rows, **keys).item() == pytest.approx(shares(*rows, **keys).item())


def test_auto_alpha():
    rows, keys = gpaco_terms()
    auto = build(alpha='auto', class_prior=None)
    with pytest.raises(ValueError, match=r"^model.head.loss.alpha: .*'auto' .*ClassCountHook"):
        auto(*rows, **keys)
    alpha = CLASSIFICATION.target / 20
    assert auto.set_positives(torch.tensor([20.0, 4.0])) == alpha
    assert auto(*rows, **keys).item() == build(alpha=alpha, class_prior=None)(*rows, **keys).item()
    given = build(alpha=0.3, class_prior=None)
    assert given.set_positives(torch.tensor([20.0, 4.0])) == 0.3


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(alpha=0), r'alpha: expected > 0, got 0. Try .auto.'),
        (dict(alpha='large'), r"alpha: expected a number > 0 or 'auto', got 'large'"),
        (dict(alpha='a number > 0'), r"alpha: expected a number > 0 or 'auto', got 'a number"),
        (dict(alpha=float('inf')), r'alpha: expected > 0 and finite, got inf'),
        (dict(loss_weight=float('inf')), r'loss_weight: expected >= 0 and finite, got inf'),
        (dict(temperature=float('inf')), r'temperature: expected > 0 and finite, got inf'),
        (dict(temperature=0.0), r'temperature: expected > 0, got 0.0'),
        (dict(beta=0), r'beta: expected > 0'),
        (dict(gamma=-1), r'gamma: expected >= 0'),
        (dict(label_smoothing=1.5), r'label_smoothing: expected a value in \[0, 1\], got 1.5'),
        (dict(label_smoothing=1.0), r'label_smoothing: expected a value in \[0, 1\), got 1.0'),
        (
            dict(impl='fast'),
            r"impl: expected one of 'auto', .*, 'triton', got 'fast'",
        ),
        (dict(class_prior=[3, 0]), r'class_prior: expected positive .* for classes \[1\]'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=r'^model\.head\.loss\.' + message):
        build(**settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(alpha=True), r'alpha: expected a number, got True'),
        (dict(temperature='0.2'), r"temperature: expected a number, got '0.2'"),
        (dict(temprature=0.2), r'temprature: expected one of alpha, temperature, .*, got .tempr'),
        (dict(contrast_ignored=False), r'contrast_ignored: expected one of alpha, temperature'),
    ],
)
def test_settings_of_another_kind(settings, message):
    with pytest.raises(TypeError, match=r'^model\.head\.loss\.' + message):
        build(**settings)


def test_a_label_that_is_no_class():
    (rows, labels, logits), keys = single_view_terms()
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 5\), got \[5\]. Check'):
        build(class_prior=None)(rows, labels + 2, logits, **keys)
