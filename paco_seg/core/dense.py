"""The rebalanced contrast, line for line the equation: forms the N x (N + M) matrix.

This is the readable implementation that ``streaming`` is held against; for many anchors use
``impl='streaming'``, which computes the same two sums without the matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor


def dense_contrast_sums(
    embeddings: Tensor,
    labels: Tensor,
    contrasted: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    key_contrasted: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The three per-anchor quantities that see pairs (recipes: s_ij, P(i), S(i)).

    With s_ij = z_i . z_j / T over the contrast set S(i) (all contrasted rows except i itself and
    all contrasted keys) and the positives P(i) = rows of S(i) with the label of i:

    Args:
        embeddings: (G, N, D).
        labels: (G, N) int64.
        contrasted: (G, N) bool, rows that take part as contrast.
        keys: (M, D), shared by the G sets.
        key_labels: (M,) int64.
        key_contrasted: (M,) bool.
        temperature: T > 0.

    Returns:
        ``log sum_{j in S(i)} exp(s_ij)`` (-inf for an empty S(i)), ``sum_{j in P(i)} s_ij`` and
        ``|P(i)|``, each (G, N).
    """
    sets, anchors, _ = embeddings.shape
    rows = torch.cat([embeddings, keys.expand(sets, *keys.shape)], dim=1)
    row_labels = torch.cat([labels, key_labels.expand(sets, -1)], dim=1)
    in_contrast = torch.cat([contrasted, key_contrasted.expand(sets, -1)], dim=1)

    similarity = torch.matmul(embeddings, rows.transpose(1, 2)) / temperature  # (G, N, N + M)
    itself = torch.eye(anchors, rows.shape[1], dtype=torch.bool, device=rows.device)
    contrast = in_contrast.unsqueeze(1) & ~itself
    positive = contrast & (labels.unsqueeze(2) == row_labels.unsqueeze(1))

    log_sum_exp = _masked_logsumexp(similarity, contrast)
    positive_sum = torch.where(positive, similarity, similarity.new_zeros(())).sum(dim=2)
    return log_sum_exp, positive_sum, positive.sum(dim=2).to(similarity.dtype)


def _masked_logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """Log-sum-exp over the last dimension; rows whose mask is empty give -inf, zero gradient."""
    if values.shape[-1] == 0:
        return values.sum(dim=-1) - torch.inf
    # logsumexp of a row of -inf has the gradient exp(-inf - -inf) = NaN: such rows are taken out
    # before, and their -inf is put back as a constant.
    empty = ~mask.any(dim=-1)
    masked = values.masked_fill(~(mask | empty.unsqueeze(-1)), -torch.inf)
    return masked.logsumexp(dim=-1).masked_fill(empty, -torch.inf)
