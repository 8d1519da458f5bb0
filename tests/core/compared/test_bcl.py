import math

import pytest
import torch
from references.bcl import bcl
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import bcl_loss, simplex_etf, supcon_loss


def batch(samples=7, keys=0, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def unit(count):
        return F.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64))

    def label(count):
        return torch.randint(classes, (count,), generator=generator)

    further = dict(keys=unit(keys), key_labels=label(keys)) if keys else {}
    return (unit(samples), label(samples), unit(classes)), further


@pytest.mark.parametrize(('samples', 'keys'), [(7, 0), (1, 0), (5, 4)])
def test_loss_equals_the_reference(samples, keys):
    (rows, labels, prototypes), further = batch(samples, keys)
    lists = {key: value.tolist() for key, value in further.items()}
    expected = bcl(rows.tolist(), labels.tolist(), prototypes.tolist(), 0.3, **lists)
    actual = bcl_loss(rows, labels, prototypes, temperature=0.3, **further)
    assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('labels', [[0, 0, 0, 0], [0, 1, 2, 3], [3, 3, 3, 1]])
def test_check_1_equal_vectors_give_log_c_whatever_the_batch(labels):
    same = F.normalize(torch.ones(4, 6, dtype=torch.float64))
    loss = bcl_loss(same, torch.tensor(labels), same, temperature=0.1)
    assert_close(loss, torch.full_like(loss, math.log(4)))
    views = same[:1].repeat(4, 1)
    supervised = supcon_loss(views, torch.zeros(4, dtype=torch.long), temperature=0.1)
    assert_close(supervised, torch.full_like(supervised, math.log(3)))


@pytest.mark.parametrize('images', [1, 5])
def test_check_2_the_floor_is_that_of_the_simplex(images):
    frame = simplex_etf(10, 10, seed=0)
    labels = torch.arange(10).repeat(2 * images)[: 2 * images]
    loss = bcl_loss(frame[labels], labels, frame, temperature=0.1)
    floor = math.log1p(9 * math.exp(-10 / (9 * 0.1)))
    assert_close(loss, torch.full_like(loss, floor), rtol=1e-8, atol=0)
    assert_close(floor, 1.34499e-4, rtol=1e-5, atol=0)


def test_check_3_a_balanced_batch_averages_the_classes():
    (rows, _, prototypes), _ = batch(8)
    labels = torch.arange(4).repeat(2)
    loss = bcl_loss(rows, labels, prototypes, temperature=0.3)
    scores = F.linear(rows, torch.cat([rows, prototypes])) / 0.3
    for anchor in range(8):
        terms = scores[anchor].exp()
        terms[anchor] = 0.0
        sums = torch.stack([terms[c::4].sum() for c in range(4)])
        numbers = torch.full((4,), 3.0, dtype=torch.float64)
        numbers[labels[anchor]] -= 1
        positives = scores[anchor][int(labels[anchor]) :: 4].sum() - scores[anchor, anchor]
        assert_close(loss[anchor], (sums / numbers).sum().log() - positives / 2)


def test_check_4_every_anchor_has_a_positive():
    (rows, _, prototypes), _ = batch(1)
    for label in range(4):
        loss = bcl_loss(rows, torch.tensor([label]), prototypes, temperature=0.07)
        assert_close(loss, F.cross_entropy(rows @ prototypes.T / 0.07, torch.tensor([label]))[None])


def test_check_5_without_both_changes_it_is_supcon():
    (rows, labels, prototypes), further = batch(6, 3, classes=5)
    off = dict(class_averaging=False, class_complement=False)
    actual = bcl_loss(rows, labels, prototypes, temperature=0.3, **off, **further)
    assert_close(actual, supcon_loss(rows, labels, temperature=0.3, **further))
    alone = bcl_loss(rows[:1], labels[:1], prototypes, temperature=0.3, class_complement=False)
    assert torch.equal(alone, torch.zeros(1, dtype=torch.float64))


def test_gradients_and_precision():
    (rows, labels, prototypes), further = batch(5, 2)
    leaves = [t.requires_grad_() for t in (rows, prototypes, further['keys'])]

    def loss(embeddings, centers, keys):
        return bcl_loss(
            embeddings,
            labels,
            centers,
            temperature=0.3,
            keys=keys,
            key_labels=further['key_labels'],
        )

    assert torch.autograd.gradcheck(loss, leaves)
    exact = loss(*leaves)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = loss(*(leaf.detach().float() for leaf in leaves))
    assert half.dtype == torch.float32
    assert_close(half, exact.detach().float())


def test_permuting_samples_and_classes():
    (rows, labels, prototypes), _ = batch()
    values = bcl_loss(rows, labels, prototypes, temperature=0.1)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert_close(bcl_loss(rows[order], labels[order], prototypes, temperature=0.1), values[order])
    classes = torch.tensor([2, 0, 3, 1])
    renamed = bcl_loss(rows, classes[labels], prototypes[classes.argsort()], temperature=0.1)
    assert_close(renamed, values)


def test_empty_batches_give_a_zero_with_gradient():
    (rows, labels, prototypes), _ = batch()
    prototypes.requires_grad_()
    loss = bcl_loss(rows[:0], labels[:0], prototypes, temperature=0.1).sum()
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prototypes.grad, torch.zeros_like(prototypes))


def test_bad_input_is_refused():
    (rows, labels, prototypes), _ = batch()
    with pytest.raises(ShapeError, match='prototypes'):
        bcl_loss(rows, labels, prototypes[:, :2], temperature=0.1)
    with pytest.raises(ValueError, match='temperature: expected > 0'):
        bcl_loss(rows, labels, prototypes, temperature=0)
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 4\)'):
        bcl_loss(rows, labels + 4, prototypes, temperature=0.1)
    with pytest.raises(ValueError, match='key_labels: expected a tensor because keys is given'):
        bcl_loss(rows, labels, prototypes, temperature=0.1, keys=rows)
