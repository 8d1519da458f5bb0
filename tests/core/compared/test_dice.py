import pytest
import torch
from references.dice import dice
from torch.testing import assert_close

from paco_seg.core.compared.dice import dice_loss

LABELS = torch.tensor([0, 2, 255, 2, 2, 0, 4, 255, 2, 4, 0, 2])


@pytest.fixture
def logits():
    values = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 3 * values


def test_dice_equals_the_definition(logits):
    found = dice_loss(logits, LABELS, ignore_index=255)
    assert found.item() == pytest.approx(dice(logits.tolist(), LABELS.tolist(), 255), rel=1e-12)


def test_dice_of_perfect_predictions_is_0_and_of_wrong_ones_1():
    valid = LABELS != 255
    right = torch.where(torch.arange(5) == LABELS.unsqueeze(1), 50.0, -50.0).double()
    assert dice_loss(right, LABELS, ignore_index=255).item() == pytest.approx(0, abs=1e-12)
    wrong = right.roll(1, dims=1)
    assert dice_loss(wrong[valid], LABELS[valid]).item() == pytest.approx(1)


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    labels = torch.tensor([0] * 99 + [1])
    missed = torch.tensor([[50.0, -50.0]]).repeat(100, 1).double()  # class 1 is never found
    found = dice_loss(missed, labels).item()
    assert found == pytest.approx(1 - (2 * 99 / 199) / 2)


def test_dice_of_maps_equals_that_of_their_pixels(logits):
    maps = logits.view(2, 3, 2, 5).permute(0, 3, 1, 2)
    rows = dice_loss(logits, LABELS, ignore_index=255)
    assert_close(dice_loss(maps, LABELS.view(2, 3, 2), ignore_index=255), rows)


def test_ignored_pixels_have_no_part_and_no_gradient(logits):
    leaf = logits.requires_grad_()
    dice_loss(leaf, LABELS, ignore_index=255).backward()
    valid = LABELS != 255
    assert (leaf.grad[~valid] == 0).all()
    assert (leaf.grad[valid].abs().sum(dim=1) > 0).all()
    assert_close(
        dice_loss(logits[valid], LABELS[valid]), dice_loss(logits, LABELS, ignore_index=255)
    )


@pytest.mark.parametrize('labels', [[255] * 12, []], ids=['none', 'empty'])
def test_dice_without_a_label_is_0_in_the_graph(logits, labels):
    leaf = logits[: len(labels)].requires_grad_()
    loss = dice_loss(leaf, torch.tensor(labels, dtype=torch.long), ignore_index=255)
    loss.backward()
    assert loss.item() == 0
    assert (leaf.grad == 0).all()


def test_dice_gradient_and_precision(logits):
    assert torch.autograd.gradcheck(
        lambda x: dice_loss(x, LABELS, ignore_index=255), logits.requires_grad_()
    )
    half = logits.detach().bfloat16()
    found = dice_loss(half, LABELS, ignore_index=255)
    assert found.dtype == torch.float32
    assert_close(
        found.double(), dice_loss(half.double(), LABELS, ignore_index=255), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    ('labels', 'message'),
    [(torch.zeros(11).long(), 'labels'), (torch.full((12,), 5), 'labels: expected')],
)
def test_dice_refuses_other_labels(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        dice_loss(logits, labels)
