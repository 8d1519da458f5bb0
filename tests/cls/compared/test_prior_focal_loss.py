"""Focal loss whose sigmoids start at a small probability, against the formula in float64."""

import math

import pytest
import torch
from mmpretrain.registry import MODELS

from paco_seg.cls.compared import PriorFocalLoss


def expected(logits, labels, gamma=2.0, alpha=0.25, prior=0.01):
    """The sum over the classes, averaged over the images, term by term."""
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(logits.double(), labels.tolist(), strict=True):
        for index, logit in enumerate(row):
            probability = torch.sigmoid(logit - math.log((1 - prior) / prior))
            if index == label:
                total = total - alpha * (1 - probability) ** gamma * probability.log()
            else:
                total = total - (1 - alpha) * probability**gamma * (1 - probability).log()
    return total / len(labels)


@pytest.mark.parametrize('settings', [{}, dict(gamma=0.5), dict(alpha=0.7), dict(prior=0.5)])
def test_value_and_gradient_are_those_of_the_formula(settings):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator).double().requires_grad_()
    labels = torch.tensor([0, 6, 3, 3, 1])
    loss = MODELS.build(dict(type='PriorFocalLoss', **settings))(logits, labels, avg_factor=5)
    reference = expected(logits, labels, **settings)
    torch.testing.assert_close(loss, reference)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits), torch.autograd.grad(reference, logits)
    )


def test_without_a_shift_it_is_the_loss_of_mmpretrain():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    stock = MODELS.build(dict(type='FocalLoss', gamma=1.0, loss_weight=0.3))
    ours = PriorFocalLoss(gamma=1.0, loss_weight=0.3, prior=0.5)
    assert torch.equal(ours(logits, labels), stock(logits, labels))


def test_a_step_of_zero_logits_pulls_at_the_class_of_the_image_first():
    """With sigmoids at one half it is the other way round from ten classes on."""
    logits = torch.zeros(1, 100, requires_grad=True)
    PriorFocalLoss()(logits, torch.tensor([7]), avg_factor=1).backward()
    others = torch.cat([logits.grad[0, :7], logits.grad[0, 8:]])
    assert -logits.grad[0, 7] > others.sum()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    logits = torch.tensor([[80.0, -80.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = PriorFocalLoss()(logits, torch.tensor([1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    'settings', [dict(prior=0.0), dict(prior=0.6), dict(gamma=-1.0), dict(alpha=1.5)]
)
def test_settings_out_of_range_are_refused(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=rf'^PriorFocalLoss\.{name}: expected '):
        PriorFocalLoss(**settings)
