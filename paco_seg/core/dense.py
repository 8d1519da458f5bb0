"""The rebalanced contrast, line for line the equation: forms the N x (N + M) matrix.

This is the readable implementation that ``streaming`` is held against; for many anchors use
``impl='streaming'``, which computes the same three sums without the matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:  # contrast chooses between the implementations and therefore imports them
    from paco_seg.core.contrast import ContrastRows


def dense_contrast_sums(rows: ContrastRows, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of :class:`paco_seg.core.contrast.ContrastSums` from the full matrix.

    Args:
        rows: G sets of N rows and M keys.
        temperature: T > 0.

    Returns:
        ``log sum_{j in S(i)} exp(s_ij)`` (-inf for an empty S(i)), ``sum_{j in P(i)} s_ij`` and
        ``|P(i)|`` with s_ij = z_i . z_j / T, each (G, N).
    """
    sets, anchors, _ = rows.embeddings.shape
    columns = torch.cat([rows.embeddings, rows.keys.expand(sets, *rows.keys.shape)], dim=1)
    column_index = torch.cat([rows.class_index, rows.key_index.expand(sets, -1)], dim=1)

    similarity = torch.matmul(rows.embeddings, columns.transpose(1, 2)) / temperature
    itself = torch.eye(anchors, columns.shape[1], dtype=torch.bool, device=columns.device)
    contrast = _in_contrast(rows).unsqueeze(1) & ~itself  # (G, N, N + M)
    positive = contrast & (rows.class_index.unsqueeze(2) == column_index.unsqueeze(1))

    log_sum_exp = _masked_logsumexp(similarity, contrast)
    positive_sum = torch.where(positive, similarity, similarity.new_zeros(())).sum(dim=2)
    return log_sum_exp, positive_sum, positive.sum(dim=2).to(similarity.dtype)


def _in_contrast(rows: ContrastRows) -> Tensor:
    """Join the masks of rows and keys, (G, N + M) bool."""
    own, keys = rows.contrasted, rows.key_contrasted
    if own is None:
        own = torch.ones_like(rows.class_index, dtype=torch.bool)
    if keys is None:
        keys = torch.ones_like(rows.key_index, dtype=torch.bool)
    return torch.cat([own, keys.expand(len(own), -1)], dim=1)


def _masked_logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """Log-sum-exp over the last dimension; rows whose mask is empty give -inf, zero gradient."""
    if values.shape[-1] == 0:
        return values.sum(dim=-1) - torch.inf
    # logsumexp of a row of -inf has the gradient exp(-inf - -inf) = NaN: such rows are taken out
    # before, and their -inf is put back as a constant.
    empty = ~mask.any(dim=-1)
    masked = values.masked_fill(~(mask | empty.unsqueeze(-1)), -torch.inf)
    return masked.logsumexp(dim=-1).masked_fill(empty, -torch.inf)
