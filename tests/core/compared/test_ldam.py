import pytest
import torch
from references import ldam as reference
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import (
    class_weighted_mean,
    cosine_logits,
    drw_weights,
    ldam_loss,
    ldam_margins,
)

COUNTS = torch.tensor([50, 20, 5, 1])
CIFAR100_LT = torch.tensor([int(500 * 0.01 ** (index / 99)) for index in range(100)])


def batch(samples=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(samples, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    return features, weight, torch.randint(4, (samples,), generator=generator)


def test_loss_equals_the_reference():
    features, weight, labels = batch()
    margins = ldam_margins(COUNTS.double(), 0.4)
    assert_close(margins.tolist(), reference.margins(COUNTS.tolist(), 0.4))
    expected = reference.ldam(
        features.tolist(), weight.tolist(), labels.tolist(), margins.tolist(), 30.0
    )
    actual = ldam_loss(cosine_logits(features, weight), labels, margins)
    assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_goldens_of_cifar100_lt():
    margins = ldam_margins(CIFAR100_LT)
    assert_close(margins[[0, 50, 99]], torch.tensor([0.15811, 0.28405, 0.5]), atol=5e-6, rtol=0)
    weights = drw_weights(CIFAR100_LT, epoch=160)
    assert_close(weights[[0, 99]], torch.tensor([0.044876, 4.378313]), atol=5e-7, rtol=0)
    assert_close(weights.double().sum().item(), 100.0, rtol=1e-5, atol=0)


def test_deferred_weights_start_at_their_epoch_and_last():
    assert torch.equal(drw_weights(COUNTS, epoch=159), torch.ones(4))
    weights = drw_weights(COUNTS.double(), epoch=160, beta=0.99)
    assert_close(weights.tolist(), reference.reweighting(COUNTS.tolist(), 0.99))
    # The published epoch // 160 indexes past its two phases from epoch 320 on.
    assert torch.equal(drw_weights(COUNTS, epoch=400), drw_weights(COUNTS, epoch=160))
    assert torch.equal(drw_weights(COUNTS, epoch=0, start_epoch=0, beta=0.0), torch.ones(4))


def test_zero_margins_give_the_scaled_cosine_softmax():
    features, weight, labels = batch()
    cosines = cosine_logits(features, weight)
    assert cosines.abs().max() <= 1 + 1e-12
    actual = ldam_loss(cosines, labels, torch.zeros(4), scale=7.0)
    assert_close(actual, F.cross_entropy(7.0 * cosines, labels, reduction='none'))


def test_a_margin_only_makes_the_loss_larger():
    features, weight, labels = batch()
    cosines = cosine_logits(features, weight)
    without = ldam_loss(cosines, labels, torch.zeros(4))
    assert (ldam_loss(cosines, labels, ldam_margins(COUNTS)) > without).all()


def test_weighted_mean_is_that_of_torch():
    features, weight, labels = batch()
    cosines = cosine_logits(features, weight)
    weights = drw_weights(COUNTS.double(), epoch=200)
    margins = ldam_margins(COUNTS.double())
    shifted = cosines - margins * F.one_hot(labels, 4)
    expected = F.cross_entropy(30.0 * shifted, labels, weight=weights)
    assert_close(
        class_weighted_mean(ldam_loss(cosines, labels, margins), labels, weights), expected
    )
    values = ldam_loss(cosines, labels, margins)
    assert_close(
        class_weighted_mean(values, labels.byte(), weights),
        class_weighted_mean(values, labels, weights),
    )
    none = class_weighted_mean(cosines[:0, 0], labels[:0], weights)
    assert none.item() == 0.0


def test_permuting_samples_and_classes():
    features, weight, labels = batch()
    margins = ldam_margins(COUNTS.double())
    values = ldam_loss(cosine_logits(features, weight), labels, margins)
    order = torch.tensor([3, 0, 1, 5, 2, 4])
    moved = ldam_loss(cosine_logits(features[order], weight), labels[order], margins)
    assert_close(moved, values[order])
    classes = torch.tensor([2, 0, 3, 1])
    inverse = classes.argsort()
    renamed = ldam_loss(cosine_logits(features, weight[inverse]), classes[labels], margins[inverse])
    assert_close(renamed, values)


def test_zero_feature_has_finite_gradient():
    features = torch.zeros(1, 3, requires_grad=True)
    weight = torch.eye(4, 3)
    ldam_loss(cosine_logits(features, weight), torch.tensor([1]), torch.zeros(4)).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_bad_input_is_refused():
    features, weight, labels = batch()
    cosines = cosine_logits(features, weight)
    with pytest.raises(ValueError, match='class_counts: expected positive'):
        ldam_margins(torch.tensor([4, 0]))
    with pytest.raises(ValueError, match='max_margin: expected > 0'):
        ldam_margins(COUNTS, 0.0)
    with pytest.raises(ValueError, match='scale: expected > 0'):
        ldam_loss(cosines, labels, torch.zeros(4), scale=0.0)
    with pytest.raises(ShapeError, match='margins'):
        ldam_loss(cosines, labels, torch.zeros(5))
    with pytest.raises(ShapeError, match='weight'):
        cosine_logits(features, weight[:, :2])
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 4\)'):
        ldam_loss(cosines, torch.full_like(labels, -1), torch.zeros(4))
