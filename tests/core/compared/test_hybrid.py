import math

import pytest
import torch
from references.hybrid import prototype_contrast
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import (
    curriculum_weight,
    prototype_loss,
    simplex_etf,
    supcon_loss,
)


def batch(samples=6, per_class=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = F.normalize(torch.randn(samples, 3, generator=generator, dtype=torch.float64))
    prototypes = torch.randn(4, per_class, 3, generator=generator, dtype=torch.float64)
    return rows, torch.randint(4, (samples,), generator=generator), prototypes


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('per_class', [1, 3])
def test_loss_equals_the_reference(per_class, weighted):
    rows, labels, prototypes = batch(per_class=per_class)
    weights = torch.full((4, per_class), 1.0 / per_class, dtype=torch.float64)
    if weighted:
        weights = torch.rand(4, per_class, dtype=torch.float64).softmax(1)
    expected = prototype_contrast(
        rows.tolist(), labels.tolist(), prototypes.tolist(), 0.3, weights.tolist()
    )
    actual = prototype_loss(
        rows,
        labels,
        prototypes,
        temperature=0.3,
        prototype_weights=weights if weighted else None,
    )
    assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('temperature', [0.1, 1.0])
def test_check_2_softplus_is_the_cosine_softmax_cross_entropy(temperature):
    rows, labels, prototypes = batch(per_class=1)
    loss = prototype_loss(rows, labels, prototypes[:, 0], temperature=temperature)
    logits = F.linear(rows, F.normalize(prototypes[:, 0])) / temperature
    expected = F.cross_entropy(logits, labels, reduction='none')
    assert_close(F.softplus(loss, threshold=1e3), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ('classes', 'temperature', 'expected'), [(10, 1.0, 1.08611), (100, 0.1, -5.50589)]
)
def test_check_3_simplex_prototypes_and_a_negative_loss(classes, temperature, expected):
    frame = simplex_etf(classes, classes, seed=0)
    loss = prototype_loss(frame, torch.arange(classes), frame, temperature=temperature)
    closed = math.log(classes - 1) - classes / ((classes - 1) * temperature)
    assert_close(loss, torch.full_like(loss, closed))
    assert_close(closed, expected, atol=5e-6, rtol=0)


def test_check_4_equal_similarities_and_one_prototype_per_class():
    rows, labels, prototypes = batch(per_class=1)
    same = torch.ones(4, 3, dtype=torch.float64)
    loss = prototype_loss(rows, labels, same, temperature=0.1)
    assert_close(loss, torch.full_like(loss, math.log(3)))
    single = prototype_loss(rows, labels, prototypes[:, 0], temperature=0.1)
    assert torch.equal(prototype_loss(rows, labels, prototypes, temperature=0.1), single)


def test_check_5_prototypes_split_by_batch_exactly_and_pairs_do_not():
    rows, labels, prototypes = batch()
    whole = prototype_loss(rows, labels, prototypes, temperature=0.1).mean()
    halves = [
        prototype_loss(rows[part], labels[part], prototypes, temperature=0.1).mean()
        for part in (slice(0, 3), slice(3, 6))
    ]
    assert_close(sum(halves) / 2, whole)
    same = torch.zeros(6, dtype=torch.long)
    whole = supcon_loss(rows, same, temperature=0.1).mean()
    halves = [
        supcon_loss(rows[part], same[part], temperature=0.1).mean()
        for part in (slice(0, 3), slice(3, 6))
    ]
    assert abs(sum(halves) / 2 - whole) > 0.1


@pytest.mark.parametrize(
    ('epoch', 'expected'), [(0, 1.0), (50, 0.9375), (100, 0.75), (160, 0.36), (200, 0.0)]
)
def test_parabolic_curriculum(epoch, expected):
    assert math.isclose(curriculum_weight(epoch, 200), expected, abs_tol=1e-12)


def test_check_7_the_curriculum_is_a_function_of_the_epoch_alone():
    assert_close(curriculum_weight(199, 200), 0.00998, atol=1e-5, rtol=0)
    assert curriculum_weight(25, 100, 'linear') == 0.75
    iteration, iters_per_epoch = 1234, 98
    fraction = curriculum_weight(iteration / iters_per_epoch, 200)
    assert curriculum_weight(13, 200) < fraction < curriculum_weight(12, 200)
    with pytest.raises(ValueError, match=r'epoch: expected a value in \[0, 200\], got 201'):
        curriculum_weight(201, 200)
    with pytest.raises(ValueError, match="schedule: expected one of 'parabolic', 'linear'"):
        curriculum_weight(1, 200, 'cosine')


def test_length_of_the_prototypes_has_no_effect():
    rows, labels, prototypes = batch()
    loss = prototype_loss(rows, labels, prototypes, temperature=0.1)
    assert_close(prototype_loss(rows, labels, 0.01 * prototypes, temperature=0.1), loss)


def test_permuting_samples_and_classes():
    rows, labels, prototypes = batch()
    values = prototype_loss(rows, labels, prototypes, temperature=0.1)
    order = torch.tensor([3, 0, 1, 5, 2, 4])
    moved = prototype_loss(rows[order], labels[order], prototypes, temperature=0.1)
    assert_close(moved, values[order])
    classes = torch.tensor([2, 0, 3, 1])
    renamed = prototype_loss(rows, classes[labels], prototypes[classes.argsort()], temperature=0.1)
    assert_close(renamed, values)


def test_empty_batches_give_a_zero_with_gradient():
    rows, labels, prototypes = batch()
    prototypes.requires_grad_()
    none = prototype_loss(rows[:0], labels[:0], prototypes, temperature=0.1)
    loss = none.sum()
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(prototypes.grad, torch.zeros_like(prototypes))


def test_bad_input_is_refused():
    rows, labels, prototypes = batch()
    with pytest.raises(ShapeError, match='prototypes: expected at least 2 classes, got 1'):
        prototype_loss(rows, torch.zeros_like(labels), prototypes[:1], temperature=0.1)
    with pytest.raises(ShapeError, match='prototypes'):
        prototype_loss(rows, labels, prototypes[..., :2], temperature=0.1)
    with pytest.raises(ShapeError, match='prototype_weights'):
        prototype_loss(
            rows, labels, prototypes, temperature=0.1, prototype_weights=torch.ones(4, 3)
        )
    with pytest.raises(ValueError, match='temperature: expected > 0'):
        prototype_loss(rows, labels, prototypes, temperature=0)
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 4\)'):
        prototype_loss(rows, labels + 4, prototypes, temperature=0.1)
