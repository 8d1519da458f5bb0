"""The contrast: which rows see which, the three sums over them, and who computes the sums."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from paco_seg.core.dense import dense_contrast_sums
from paco_seg.core.streaming import streaming_contrast_sums

# 'triton' computes the whole parametric contrastive loss, see :mod:`paco_seg.core.fused`.
IMPLEMENTATIONS = ('auto', 'dense', 'streaming', 'triton')
# Key label of a queue slot that has not been written yet.
EMPTY = -1
# Similarities of all sets up to which 'auto' takes the dense form (measured: section "Dispatch"
# of benchmarks/README.md).
_DENSE_SIMILARITIES = 2**17


class ContrastRows(NamedTuple):
    """G contrast sets of N rows each, which do not see each other, and M keys that all of them see.

    The contrast set S(i) of row i holds every contrasted row of its set but i itself, and every
    contrasted key; its positives P(i) are the members of S(i) with the class index of i.

    Args:
        embeddings: (G, N, D) float32 or float64.
        class_index: (G, N) int64 in [0, C]; C marks rows that are nobody's positives, whose own
            positive sum and count have no meaning.
        contrasted: (G, N) bool, rows that are contrast for the others; None = all.
        keys: (M, D), dtype of the embeddings; M = 0 is allowed.
        key_index: (M,) int64 in [0, C].
        key_contrasted: (M,) bool; None = all.
        num_classes: C.
        unit_rows: whether the caller knows that no row or key is longer than 1, which otherwise
            'streaming' has to find out; on a device the host waits for that number.
    """

    embeddings: Tensor
    class_index: Tensor
    contrasted: Tensor | None
    keys: Tensor
    key_index: Tensor
    key_contrasted: Tensor | None
    num_classes: int
    unit_rows: bool = False


class ContrastSums(NamedTuple):
    """What a loss needs to know about pairs, for every row.

    Args:
        log_sum_exp: (G, N), ``log sum_{j in S(i)} exp(z_i . z_j / T)``; -inf for an empty S(i).
        positive_sum: (G, N), ``sum_{j in P(i)} z_i . z_j / T``.
        positive_count: (G, N), ``|P(i)|`` in the dtype of the embeddings.
    """

    log_sum_exp: Tensor
    positive_sum: Tensor
    positive_count: Tensor


def contrast_sums(
    rows: ContrastRows,
    temperature: float,
    *,
    impl: str = 'auto',
    chunk_size: int | None = None,
    need_lse: bool = True,
) -> ContrastSums:
    """Return the three sums of every row, by the implementation that ``impl`` names.

    The only place that chooses between implementations: each computes the same numbers from the
    same :class:`ContrastRows`.

    Args:
        rows: who sees whom.
        temperature: T > 0.
        impl: one of ``IMPLEMENTATIONS``; 'auto' takes dense only where the matrix is small.
        chunk_size: rows and columns of a streaming tile; None = from a memory budget.
        need_lse: False spares 'streaming' the one sum that sees pairs; its place may then hold
            -inf.

    Returns:
        Three tensors (G, N).

    Raises:
        ValueError: ``impl`` is 'triton', whose kernels keep the sums to themselves.
    """
    if impl == 'triton':
        raise ValueError(
            "impl: expected 'auto', 'dense' or 'streaming' for this loss, got 'triton', which "
            'computes the parametric contrastive loss alone'
        )
    sets, anchors, _ = rows.embeddings.shape
    if choose_impl(impl, sets, anchors, len(rows.keys)) == 'dense':
        return ContrastSums(*dense_contrast_sums(rows, temperature))
    return ContrastSums(*streaming_contrast_sums(rows, temperature, chunk_size, need_lse=need_lse))


def choose_impl(impl: str, num_sets: int, num_anchors: int, num_keys: int) -> str:
    """Resolve 'auto': dense where the similarities of all sets are few, else streaming."""
    if impl != 'auto':
        return impl
    similarities = num_sets * num_anchors * (num_anchors + num_keys)
    return 'dense' if similarities <= _DENSE_SIMILARITIES else 'streaming'
