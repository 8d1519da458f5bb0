"""From per-anchor values to what the caller asked for; the only place that averages."""

from __future__ import annotations

import torch
from torch import Tensor

REDUCTIONS = ('none', 'mean', 'sum')


def reduce_anchors(
    values: Tensor, valid: Tensor, reduction: str, weights: Tensor | None = None
) -> Tensor:
    """Reduce per-anchor losses.

    Args:
        values: (G, N) losses, 0 where ``valid`` is False.
        valid: (G, N) bool, anchors that count.
        reduction: 'none' returns ``values``; 'sum' adds all of them; 'mean' averages over the
            valid anchors of each set, then over the G sets. A set without a valid anchor
            counts as 0 in the mean (GPaCo segmentation averages over all images of the batch).
        weights: (G, N) of the anchors in sums and means, >= 0; None = all alike. 'mean' divides by
            the weights of the valid anchors of a set; 'none' leaves the values as they are.

    Returns:
        (G, N) or a scalar. Without any valid anchor (or set) the scalar is a zero that is
        attached to the graph, so that every parameter still receives a (zero) gradient.
    """
    if reduction == 'none':
        return values
    if weights is not None:
        weights = weights.to(values.dtype)
        values = values * weights
    if reduction == 'sum' or values.numel() == 0:
        return values.sum()
    if weights is None:
        counts = valid.sum(dim=-1).clamp(min=1)
    else:
        counts = (weights * valid).sum(dim=-1)
        counts = torch.where(counts > 0, counts, torch.ones_like(counts))
    return (values.sum(dim=-1) / counts).mean()
