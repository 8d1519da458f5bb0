"""From per-anchor values to what the caller asked for; the only place that averages."""

from __future__ import annotations

from torch import Tensor

REDUCTIONS = ('none', 'mean', 'sum')


def reduce_anchors(values: Tensor, valid: Tensor, reduction: str) -> Tensor:
    """Reduce per-anchor losses.

    Args:
        values: (G, N) losses, 0 where ``valid`` is False.
        valid: (G, N) bool, anchors that count.
        reduction: 'none' returns ``values``; 'sum' adds all of them; 'mean' averages over the
            valid anchors of each set, then over the G sets. A set without a valid anchor
            counts as 0 in the mean (GPaCo segmentation averages over all images of the batch).

    Returns:
        (G, N) or a scalar. Without any valid anchor (or set) the scalar is a zero that is
        attached to the graph, so that every parameter still receives a (zero) gradient.
    """
    if reduction == 'none':
        return values
    if reduction == 'sum' or values.numel() == 0:
        return values.sum()
    counts = valid.sum(dim=-1).clamp(min=1)
    return (values.sum(dim=-1) / counts).mean()
