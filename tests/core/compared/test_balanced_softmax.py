import pytest
import torch
from references.balanced_softmax import balanced_softmax
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import (
    balanced_softmax_loss,
    cross_entropy_per_sample,
    posthoc_adjusted_logits,
)

COUNTS = torch.tensor([50, 20, 5, 1])


def batch(samples=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, 4, generator=generator, dtype=torch.float64)
    return logits, torch.randint(4, (samples,), generator=generator)


@pytest.mark.parametrize('strength', [0.0, 0.5, 1.0])
def test_loss_equals_the_reference(strength):
    logits, labels = batch()
    expected = balanced_softmax(logits.tolist(), labels.tolist(), COUNTS.tolist(), strength)
    actual = balanced_softmax_loss(logits, labels, COUNTS.double(), strength=strength)
    assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0)


def test_uniform_counts_and_zero_strength_give_cross_entropy():
    logits, labels = batch()
    plain = F.cross_entropy(logits, labels, reduction='none')
    assert_close(balanced_softmax_loss(logits, labels, torch.full((4,), 9.0).double()), plain)
    assert_close(balanced_softmax_loss(logits, labels, COUNTS.double(), strength=0.0), plain)


def test_counts_and_frequencies_are_the_same_prior():
    logits, labels = batch()
    by_count = balanced_softmax_loss(logits, labels, COUNTS.double())
    assert_close(balanced_softmax_loss(logits, labels, COUNTS.double() / 76), by_count)


def test_post_hoc_prediction_undoes_the_prior_in_the_logits():
    logits, _ = batch()
    biased = logits + COUNTS.double().log()
    adjusted = posthoc_adjusted_logits(biased, COUNTS.double())
    assert torch.equal(adjusted.argmax(1), logits.argmax(1))
    assert_close(adjusted.log_softmax(1), logits.log_softmax(1))
    assert torch.equal(posthoc_adjusted_logits(logits, COUNTS, strength=0.0), logits)


def test_permuting_samples_and_classes():
    logits, labels = batch()
    values = balanced_softmax_loss(logits, labels, COUNTS)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert_close(balanced_softmax_loss(logits[order], labels[order], COUNTS), values[order])
    classes = torch.tensor([2, 0, 3, 1])  # class c is called classes[c]
    renamed = torch.empty_like(logits)
    renamed[:, classes] = logits
    counts = torch.empty_like(COUNTS)
    counts[classes] = COUNTS
    assert_close(balanced_softmax_loss(renamed, classes[labels], counts), values)


def test_ignored_and_empty_batches():
    logits, _ = batch(3)
    logits.requires_grad_()
    ignored = torch.full((3,), 255)
    values = balanced_softmax_loss(logits, ignored, COUNTS, ignore_index=255)
    assert torch.equal(values, torch.zeros(3).double())
    values.sum().backward()
    assert torch.equal(logits.grad, torch.zeros(3, 4).double())
    assert balanced_softmax_loss(logits[:0], ignored[:0], COUNTS).shape == (0,)


def test_bad_input_is_refused():
    logits, labels = batch()
    with pytest.raises(ValueError, match=r'class_counts: expected positive .* classes \[2\]'):
        balanced_softmax_loss(logits, labels, torch.tensor([3, 2, 0, 1]))
    with pytest.raises(ShapeError, match=r'class_counts: expected shape \(4\), got \(3,\)'):
        balanced_softmax_loss(logits, labels, torch.ones(3))
    with pytest.raises(ShapeError, match='labels'):
        cross_entropy_per_sample(logits, labels[:2])
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 4\), got \[4\]'):
        cross_entropy_per_sample(logits, torch.full_like(labels, 4))
    with pytest.raises(TypeError, match='labels'):
        cross_entropy_per_sample(logits, labels.float())
