import math

import pytest
import torch
from references import reslt as reference
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import fused_logits, nested_class_groups, reslt_loss, reslt_terms

COUNTS = torch.tensor([9, 30, 2, 9, 1])  # rarest first: 4, 2, then the tie 3, 0, then 1


def batch(samples=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, samples, 5, generator=generator, dtype=torch.float64)
    return logits, torch.randint(5, (samples,), generator=generator)


@pytest.mark.parametrize('tail', [0, 2])
@pytest.mark.parametrize('alpha', [0.0, 0.3, 1.0])
def test_loss_equals_the_reference(alpha, tail):
    logits, labels = batch()
    labels[3] = 255
    masks = nested_class_groups(COUNTS, medium_and_tail=3, tail=tail)
    groups = reference.class_groups(COUNTS.tolist(), [5, 3, tail])
    expected = reference.reslt(logits.tolist(), labels.tolist(), groups, alpha, 255)
    actual = reslt_loss(logits, labels, masks, alpha=alpha, ignore_index=255)
    assert_close(actual.item(), expected, rtol=1e-10, atol=0)


def test_groups_rank_by_count_with_ties_to_the_higher_index():
    masks = nested_class_groups(COUNTS, medium_and_tail=3, tail=2)
    assert masks.tolist() == [
        [True, True, True, True, True],
        [False, False, True, True, True],
        [False, False, True, False, True],
    ]


@pytest.mark.parametrize(
    ('classes', 'medium_and_tail', 'tail'), [(10, 8, 6), (100, 65, 30), (1000, 825, 220)]
)
def test_published_groups_of_sorted_counts_are_the_last_classes(classes, medium_and_tail, tail):
    counts = torch.tensor([int(5000 * 0.01 ** (i / (classes - 1))) for i in range(classes)])
    masks = nested_class_groups(counts, medium_and_tail=medium_and_tail, tail=tail)
    first = [int(mask.nonzero()[0]) for mask in masks]
    assert first == [0, classes - medium_and_tail, classes - tail]
    assert masks.sum(1).tolist() == [classes, medium_and_tail, tail]


def test_groups_are_nested_for_any_counts():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        counts = torch.randint(1, 6, (12,), generator=generator)
        head, medium, tail = nested_class_groups(counts, medium_and_tail=7, tail=3)
        assert head.all()
        assert (medium >= tail).all()
        assert counts[tail].max() <= counts[~tail].min()


def test_groups_that_do_not_nest_are_refused():
    with pytest.raises(ValueError, match=r'medium_and_tail: expected a value in \[0, 5\], got 6'):
        nested_class_groups(COUNTS, medium_and_tail=6, tail=1)
    with pytest.raises(ValueError, match=r'tail: expected a value in \[0, 2\], got 3'):
        nested_class_groups(COUNTS, medium_and_tail=2, tail=3)


MASKS = nested_class_groups(torch.tensor([9, 8, 3, 2, 1]), medium_and_tail=3, tail=1)


@pytest.mark.parametrize('alpha', [0.0, 0.4, 1.0])
@pytest.mark.parametrize('masks', [MASKS, torch.ones(3, 5, dtype=torch.bool)])
def test_check_1_zero_logits_give_log_of_the_classes(alpha, masks):
    _, labels = batch()
    loss = reslt_loss(torch.zeros(3, 7, 5), labels, masks, alpha=alpha)
    assert_close(loss.item(), math.log(5))


def test_check_2_alpha_zero_is_cross_entropy_of_the_sum():
    logits, labels = batch()
    expected = F.cross_entropy(logits.sum(0), labels)
    assert_close(reslt_loss(logits, labels, MASKS, alpha=0.0), expected)


def test_check_3_head_samples_do_not_train_the_other_branches():
    logits, _ = batch()
    logits.requires_grad_()
    head_only = torch.tensor([0, 1, 1, 0, 0, 1, 0])
    reslt_loss(logits, head_only, MASKS, alpha=1.0).backward()
    assert torch.equal(logits.grad[1:], torch.zeros(2, 7, 5).double())
    assert (logits.grad[0] != 0).all()


def test_check_4_identical_branches_and_full_masks_give_the_branch_cross_entropy():
    logits, labels = batch()
    same = logits[:1].expand(3, -1, -1)
    terms = reslt_terms(same, labels, torch.ones(3, 5, dtype=torch.bool))
    assert_close(terms.specialisation, F.cross_entropy(logits[0], labels))


def test_check_5_one_head_one_medium_one_tail_sample_divide_by_six():
    logits, _ = batch(3)
    labels = torch.tensor([0, 2, 4])
    each = [F.cross_entropy(branch, labels, reduction='none') for branch in logits]
    total = each[0].sum() + each[1][1:].sum() + each[2][2:].sum()
    assert_close(reslt_terms(logits, labels, MASKS).specialisation, total / 6)


def test_check_6_masks_are_nested():
    assert (MASKS[2] <= MASKS[1]).all()
    assert (MASKS[1] <= MASKS[0]).all()


def test_a_branch_without_classes_is_neither_trained_nor_used():
    logits, labels = batch()
    masks = nested_class_groups(COUNTS, medium_and_tail=3, tail=0)
    assert_close(fused_logits(logits, masks), logits[:2].sum(0))
    logits.requires_grad_()
    reslt_loss(logits, labels, masks, alpha=0.5).backward()
    assert torch.equal(logits.grad[2], torch.zeros(7, 5).double())


def test_permuting_samples_and_classes():
    logits, labels = batch()
    value = reslt_loss(logits, labels, MASKS, alpha=0.7)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert_close(reslt_loss(logits[:, order], labels[order], MASKS, alpha=0.7), value)
    classes = torch.tensor([2, 0, 4, 3, 1])
    inverse = classes.argsort()
    renamed = reslt_loss(logits[..., inverse], classes[labels], MASKS[:, inverse], alpha=0.7)
    assert_close(renamed, value)


@pytest.mark.parametrize('labels', [torch.full((7,), 255), torch.empty(0, dtype=torch.long)])
def test_nothing_to_train_gives_a_zero_with_gradient(labels):
    logits = torch.randn(3, len(labels), 5, requires_grad=True)
    loss = reslt_loss(logits, labels, MASKS, alpha=0.5, ignore_index=255)
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_confident_mistake_keeps_its_gradient():
    logits = torch.zeros(3, 1, 5)
    logits[:, 0, 1] = 100.0
    logits.requires_grad_()
    loss = reslt_loss(logits, torch.tensor([4]), MASKS, alpha=1.0)
    assert_close(loss.item(), 100.0)  # log(p + 1e-7) would stop at 16.12, with zero gradient
    loss.backward()
    assert_close(logits.grad[:, 0, 4], torch.full((3,), -1 / 3))


def test_bad_input_is_refused():
    logits, labels = batch()
    with pytest.raises(ValueError, match=r'alpha: expected a value in \[0, 1\], got 1.5'):
        reslt_loss(logits, labels, MASKS, alpha=1.5)
    with pytest.raises(ShapeError, match='branch_logits'):
        reslt_loss(logits[:2], labels, MASKS, alpha=0.5)
    with pytest.raises(ShapeError, match='group_masks'):
        reslt_loss(logits, labels, MASKS[:, :4], alpha=0.5)
    with pytest.raises(TypeError, match='group_masks: expected dtype bool'):
        reslt_loss(logits, labels, MASKS.float(), alpha=0.5)
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 5\)'):
        reslt_loss(logits, labels + 5, MASKS, alpha=0.5)
