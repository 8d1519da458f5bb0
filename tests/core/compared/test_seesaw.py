import pytest
import torch
import torch.nn.functional as F
from references.seesaw import seesaw_values
from torch.testing import assert_close

from paco_seg.core.compared.seesaw import image_counts, label_counts, seesaw_loss

COUNTS = torch.tensor([5e9, 300.0, 7.0, 0.0], dtype=torch.float64)
LABELS = torch.tensor([1, 0, 3, 255, 2, 1, 1, 0, 3, 2, 255, 0])


@pytest.fixture
def logits():
    values = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values[0, 1] += 20.0  # a sure pixel
    values[1, 2] += 20.0  # a wrong one, whose own probability is below eps
    return values


@pytest.mark.parametrize(('p', 'q'), [(0.8, 2.0), (0.0, 2.0), (0.8, 0.0), (1.2, 1.0)])
def test_equals_the_reference(logits, p, q):
    found = seesaw_loss(logits, LABELS, COUNTS, p=p, q=q, ignore_index=255)
    wanted = seesaw_values(
        logits.tolist(), LABELS.tolist(), COUNTS.tolist(), p, q, ignore_index=255
    )
    assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-9, rtol=1e-9)


def test_without_exponents_it_is_cross_entropy(logits):
    found = seesaw_loss(logits, LABELS, COUNTS, p=0.0, q=0.0, ignore_index=255)
    assert torch.equal(found, F.cross_entropy(logits, LABELS, reduction='none', ignore_index=255))


def test_equal_counts_and_the_largest_own_score_leave_cross_entropy(logits):
    labels = logits.argmax(dim=1)
    found = seesaw_loss(logits, labels, torch.full((4,), 9.0))
    assert_close(found, F.cross_entropy(logits, labels, reduction='none'))


def test_mitigation_lowers_and_compensation_raises(logits):
    stock = F.cross_entropy(logits, LABELS, reduction='none', ignore_index=255)
    assert (seesaw_loss(logits, LABELS, COUNTS, q=0.0, ignore_index=255) <= stock + 1e-12).all()
    assert (seesaw_loss(logits, LABELS, COUNTS, p=0.0, ignore_index=255) >= stock - 1e-12).all()


def test_scores_of_the_compensation_have_no_gradient(logits):
    leaf = logits.requires_grad_()
    seesaw_loss(leaf, LABELS, COUNTS, ignore_index=255).sum().backward()
    # d/dz_j of the log-sum-exp of adjusted logits alone: softmax minus one-hot
    assert_close(leaf.grad.sum(dim=1), torch.zeros(12, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (leaf.grad[LABELS == 255] == 0).all()


def test_maps_class_weights_and_half_precision(logits):
    maps = logits.view(3, 4, 4).transpose(1, 2)  # (N, C, P)
    labels = LABELS.view(3, 4)
    weight = torch.tensor([1.0, 0.5, 3.0, 2.0])
    found = seesaw_loss(maps, labels, COUNTS, class_weight=weight, ignore_index=255)
    rows = seesaw_loss(logits, LABELS, COUNTS, ignore_index=255)
    own = weight.double()[LABELS.masked_fill(LABELS == 255, 0)]
    assert_close(found.flatten(), rows * own)
    half = seesaw_loss(logits.bfloat16(), LABELS, COUNTS, ignore_index=255)
    assert half.dtype == torch.float32
    assert_close(half, seesaw_loss(logits.bfloat16().float(), LABELS, COUNTS, ignore_index=255))


def test_an_empty_batch_and_one_that_is_ignored():
    assert seesaw_loss(torch.zeros(0, 4), LABELS[:0], COUNTS).shape == (0,)
    assert seesaw_loss(
        torch.zeros(1, 4), torch.tensor([255]), COUNTS, ignore_index=255
    ).tolist() == [0.0]


def test_counts_are_exact_and_leave_out_what_is_no_class():
    labels = torch.tensor([[0, 1, 1, 255], [1, 2, -100, 1]])
    assert label_counts(labels, 3).tolist() == [1, 4, 1]
    assert image_counts(labels, 3).tolist() == [1, 2, 1]
    total = torch.tensor([5e9], dtype=torch.float64) + label_counts(torch.zeros(200).long(), 1)
    assert total.item() == 5e9 + 200


@pytest.mark.parametrize(
    ('settings', 'message'),
    [(dict(p=-1.0), 'p: expected'), (dict(q=-1.0), 'q: expected'), (dict(eps=0.0), 'eps: exp')],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        seesaw_loss(torch.zeros(1, 4), torch.tensor([0]), COUNTS, **settings)
    with pytest.raises(ValueError, match='counts: expected shape'):
        seesaw_loss(torch.zeros(1, 3), torch.tensor([0]), COUNTS)
