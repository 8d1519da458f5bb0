"""ResLT: residual branches for all, medium-and-tail and tail classes.

Cui et al., ResLT, arXiv 2101.10633, section 3. Three branches share one classifier; their logits
add up. A fusion loss trains the sum, a specialisation loss trains each branch on its own group of
classes, the groups being nested.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from paco_seg.core.checks import check_count, check_range, check_shape, compute_dtype
from paco_seg.core.compared.balanced_softmax import cross_entropy_per_sample


class ResLTTerms(NamedTuple):
    """The two scalar terms of ResLT, before weighting."""

    specialisation: Tensor
    fusion: Tensor


def nested_class_groups(class_counts: Tensor, *, medium_and_tail: int, tail: int) -> Tensor:
    """Tell which classes each branch is trained on: all, the rarest M + T, the rarest T.

    Classes are ranked by count; among equal counts the class with the higher index is the rarer
    one, on every platform, so that a mask kept as a buffer never depends on a sort.

    Published groups (M + T, T): CIFAR-10-LT 8 and 6, CIFAR-100-LT 65 and 30, ImageNet-LT 825 and
    220, iNaturalist 6600 and 0 (no tail branch).

    Args:
        class_counts: (C,) training counts.
        medium_and_tail: number of classes of the second branch, in [0, C].
        tail: number of classes of the third branch, in [0, ``medium_and_tail``].

    Returns:
        (3, C) bool, rows head, medium, tail; each row implies the row above.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a group is larger than the one above it.
    """
    check_shape('class_counts', class_counts, ('C',))
    num_classes = class_counts.shape[0]
    check_count('medium_and_tail', medium_and_tail, high=num_classes)
    check_count('tail', tail, high=medium_and_tail)
    frequent_first = torch.argsort(class_counts, descending=True, stable=True)
    rank = torch.empty_like(frequent_first)
    rank[frequent_first] = torch.arange(num_classes, device=rank.device)
    return torch.stack(
        [rank >= num_classes - size for size in (num_classes, medium_and_tail, tail)]
    )


def fused_logits(branch_logits: Tensor, group_masks: Tensor) -> Tensor:
    """Return the prediction: the sum of the branches that have a class to be trained on.

    Args:
        branch_logits: (3, N, C).
        group_masks: (3, C) bool, see :func:`nested_class_groups`.

    Returns:
        (N, C), same dtype.

    Raises:
        ShapeError: a tensor has another shape.
    """
    _check_branches(branch_logits, group_masks)
    used = group_masks.any(dim=1).to(branch_logits.dtype)
    return (branch_logits * used[:, None, None]).sum(dim=0)


def reslt_terms(
    branch_logits: Tensor, labels: Tensor, group_masks: Tensor, *, ignore_index: int | None = None
) -> ResLTTerms:
    """Return the specialisation and fusion loss of a batch.

    With m_b(y) = 1 if branch b is trained on class y, u_b the logits of branch b::

        specialisation = sum_b sum_i m_b(y_i) CE(u_b_i, y_i) / sum_b sum_i m_b(y_i)
        fusion         = mean_i CE(sum_b u_b_i, y_i)

    Every cross entropy runs over all C classes. The published code takes log(p + 1e-7), which
    caps a term at 16.12 and with it the gradient; log-softmax has no cap.

    Args:
        branch_logits: (3, N, C): head (all classes), medium and tail branch.
        labels: (N,) integer in [0, C) or ``ignore_index``.
        group_masks: (3, C) bool, see :func:`nested_class_groups`.
        ignore_index: label of samples (pixels) that leave both sums, or None.

    Returns:
        Two scalars, float32 (float64 for float64 input); zeros attached to the graph if no
        sample counts.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: the masks are not bool or the labels not integers.
        ValueError: a label is no class.
    """
    _check_branches(branch_logits, group_masks)
    branches, samples, classes = branch_logits.shape
    branch_logits = branch_logits.to(compute_dtype(branch_logits))
    fusion = cross_entropy_per_sample(
        fused_logits(branch_logits, group_masks), labels, ignore_index=ignore_index
    )
    each = cross_entropy_per_sample(
        branch_logits.reshape(branches * samples, classes),
        labels.repeat(branches),
        ignore_index=ignore_index,
    ).view(branches, samples)

    labels = labels.long()  # uint8 has no negative ignore_index
    valid = torch.ones_like(labels, dtype=torch.bool)
    if ignore_index is not None:
        valid = labels != ignore_index
    trained = group_masks[:, labels.masked_fill(~valid, 0)] & valid
    # where(), not a product: a term outside the group must not leak an infinite cross entropy.
    special = torch.where(trained, each, torch.zeros_like(each)).sum() / trained.sum().clamp(min=1)
    return ResLTTerms(special, fusion.sum() / valid.sum().clamp(min=1))


def reslt_loss(
    branch_logits: Tensor,
    labels: Tensor,
    group_masks: Tensor,
    *,
    alpha: float,
    ignore_index: int | None = None,
) -> Tensor:
    """Return ``alpha * specialisation + (1 - alpha) * fusion``, see :func:`reslt_terms`.

    Args:
        branch_logits: (3, N, C).
        labels: (N,) integer in [0, C) or ``ignore_index``.
        group_masks: (3, C) bool.
        alpha: weight of the specialisation loss, in [0, 1] (the option ``beta`` of the published
            code; 0.995 for CIFAR-100-LT at imbalance 100, 0.99 for ImageNet-LT).
        ignore_index: label of samples that do not count, or None.

    Returns:
        A scalar, float32 (float64 for float64 input).

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: ``alpha`` is out of range or a label is no class.
    """
    check_range('alpha', alpha, low=0.0, high=1.0)
    terms = reslt_terms(branch_logits, labels, group_masks, ignore_index=ignore_index)
    return alpha * terms.specialisation + (1.0 - alpha) * terms.fusion


def _check_branches(branch_logits: Tensor, group_masks: Tensor) -> None:
    check_shape('branch_logits', branch_logits, (3, 'N', 'C'))
    check_shape('group_masks', group_masks, (3, branch_logits.shape[2]))
    if group_masks.dtype != torch.bool:
        raise TypeError(f'group_masks: expected dtype bool, got {group_masks.dtype}')
