import pytest
import torch
from references.auc import square_auc
from torch.testing import assert_close

from paco_seg.core import slot_sums
from paco_seg.core.compared.auc import square_auc_loss

LABELS = torch.tensor([0, 2, 255, 2, 2, 0, 4, 255, 2, 4, 0, 2])


@pytest.fixture
def logits():
    values = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 3 * values


@pytest.mark.parametrize('gamma', [0.5, 1.0])
def test_auc_equals_all_pairs(logits, gamma):
    found = square_auc_loss(logits, LABELS, gamma=gamma, ignore_index=255)
    wanted = square_auc(logits.tolist(), LABELS.tolist(), gamma, 255)
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_auc_of_constant_scores_and_of_perfect_ones(logits):
    constant = torch.full_like(logits, 0.7)
    assert square_auc_loss(constant, LABELS, ignore_index=255).item() == pytest.approx(0.5)
    perfect = torch.where(torch.arange(5) == LABELS.unsqueeze(1), 50.0, -50.0).double()
    assert square_auc_loss(perfect, LABELS, ignore_index=255).item() == pytest.approx(0, abs=1e-12)


def test_auc_does_not_see_how_many_pixels_a_class_has(logits):
    more = [*range(12), *([1, 3, 4, 8, 11] * 3)]  # those of class 2
    assert_close(
        square_auc_loss(logits[more], LABELS[more], ignore_index=255),
        square_auc_loss(logits, LABELS, ignore_index=255),
    )


def test_auc_of_maps_and_in_blocks(logits, monkeypatch):
    rows = square_auc_loss(logits, LABELS, ignore_index=255)
    maps = logits.view(2, 3, 2, 5).permute(0, 3, 1, 2)
    monkeypatch.setattr(slot_sums, '_BLOCK', 5)
    assert_close(square_auc_loss(maps, LABELS.view(2, 3, 2), ignore_index=255), rows)


@pytest.mark.parametrize('labels', [[3] * 12, [255] * 12, []], ids=['one', 'none', 'empty'])
def test_auc_needs_two_classes(logits, labels):
    leaf = logits[: len(labels)].requires_grad_()
    loss = square_auc_loss(leaf, torch.tensor(labels, dtype=torch.long), ignore_index=255)
    loss.backward()
    assert loss.item() == 0
    assert (leaf.grad == 0).all()


def test_auc_gradient_and_precision(logits):
    assert torch.autograd.gradcheck(
        lambda x: square_auc_loss(x, LABELS, ignore_index=255), logits.requires_grad_()
    )
    half = logits.detach().bfloat16()
    found = square_auc_loss(half, LABELS, ignore_index=255)
    assert found.dtype == torch.float32
    assert_close(found, square_auc_loss(half.float(), LABELS, ignore_index=255))
    assert_close(
        square_auc_loss(logits.detach().float(), LABELS, ignore_index=255).double(),
        square_auc_loss(logits.detach(), LABELS, ignore_index=255),
        rtol=1e-6, atol=1e-7,
    )  # fmt: skip


def test_auc_of_many_pixels_keeps_its_digits():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 2, 400_000, generator=generator) - 4.0
    labels = (torch.rand(1, 400_000, generator=generator) < 0.001).long()
    exact = square_auc_loss(logits.double(), labels)
    assert_close(square_auc_loss(logits, labels).double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ('labels', 'settings', 'message'),
    [
        (LABELS, dict(gamma=0.0), 'gamma: expected'),
        (LABELS, {}, r'labels: expected values in \[0, 5\) or -100, got \[255'),
        (LABELS[:5], {}, 'labels: expected shape'),
    ],
)
def test_auc_errors(logits, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        square_auc_loss(logits, labels, **settings)
