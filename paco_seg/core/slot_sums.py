"""Sums of rows by slot that stay exact however many rows there are."""

from __future__ import annotations

import torch
from torch import Tensor

# Rows that are added up one after the other. In float32 the error of such a sum grows with their
# number: the mean of a million equal rows is off by a percent.
_BLOCK = 16384
_MOST_BLOCKS = 32  # each holds a sum of every slot


def slot_sums(
    values: Tensor, index: Tensor, slots: int, *, dtype: torch.dtype | None = None
) -> Tensor:
    """Add up the rows of each slot, in blocks whose sums are added at the end.

    Args:
        values: (G, R, D), float32 or float64.
        index: (G, R) int64 in [0, S), the slot of each row.
        slots: S.
        dtype: in which the sums of the blocks are added; None = that of the values.

    Returns:
        (G, S, D) in ``dtype``; zeros where a slot has no row.

    Example:
        >>> slot_sums(torch.ones(1, 3, 1), torch.tensor([[0, 2, 2]]), 3).flatten()
        tensor([1., 0., 2.])
    """
    sets, rows, channels = values.shape
    blocks = min(max(1, -(-rows // _BLOCK)), _MOST_BLOCKS)
    block = torch.arange(rows, device=index.device) // max(1, -(-rows // blocks))
    first = torch.arange(sets, device=index.device).unsqueeze(1) * blocks
    place = (first + block) * slots + index
    sums = values.new_zeros(sets * blocks * slots, channels)
    sums = sums.index_add(0, place.flatten(), values.flatten(0, 1))
    return sums.view(sets, blocks, slots, channels).sum(dim=1, dtype=dtype)
