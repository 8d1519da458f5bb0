import math

import pytest
import torch
from references.focal import focal_values

from paco_seg.core.compared.focal import focal_loss


def test_example_by_hand():
    # equal logits of two classes: p = 1/2, (1/2)^2 ln 2
    value = focal_loss(torch.zeros(1, 2), torch.tensor([1]), gamma=2.0)
    assert value.item() == pytest.approx(0.25 * math.log(2))


@pytest.mark.parametrize('gamma', [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize('weight', [None, [1.0, 0.5, 3.0, 2.0]])
def test_equals_the_reference(gamma, weight):
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[0, 1] += 30.0  # a sure pixel
    labels = torch.tensor([1, 0, 3, 255, 2, 1, 1, 0, 3, 2, 255, 0])
    given = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    found = focal_loss(logits, labels, gamma=gamma, class_weight=given, ignore_index=255)
    wanted = focal_values(logits.tolist(), labels.tolist(), gamma, weight, 255)
    torch.testing.assert_close(
        found, torch.tensor(wanted, dtype=torch.float64), atol=1e-12, rtol=1e-9
    )


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_gradient(gamma):
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 255, 2])
    assert torch.autograd.gradcheck(
        lambda x: focal_loss(x, labels, gamma=gamma, ignore_index=255), logits.requires_grad_()
    )


def test_a_sure_pixel_has_a_finite_gradient():
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0]), gamma=0.5).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_half_precision_is_computed_in_float32():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    half = focal_loss(logits.bfloat16(), labels, gamma=2.0)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, focal_loss(logits.bfloat16().float(), labels, gamma=2.0))


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match='gamma: expected'):
        focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=-1.0)
