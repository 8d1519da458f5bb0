"""The same three per-anchor sums as ``dense``, exactly, without the N x N matrix.

Legend: G sets, N anchors, M keys, D channels, C classes; z rows, T temperature.

1. Positives need no pairs. ``sum_{j in P(i)} z_i . z_j = z_i . (S_{y_i} - z_i)`` with S_c the sum
   of all contrasted rows of class c: O((N + M) D) work, O(G C D) memory.
2. Only the log-sum-exp over S(i) sees pairs. It is computed tile by tile; the backward pass
   recomputes each tile. Within a set the similarity matrix is symmetric, so a tile above the
   diagonal serves its rows and its columns: half the work of a rectangular sweep.
3. Rows of unit length bound every similarity by 1/T, hence exp() needs no running maximum. Rows
   that are not unit length are detected by their norms and take a sweep with a maximum per row.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# Elements of one tile when ``chunk_size`` is not given. Two tiles are alive at a time (the
# exponentials, and in backward their weights): on CPU 2 x 1024^2 x 4 B = 8 MiB, which stays in a
# last-level cache (sides of 384 to 1024 measure alike, 2048 is slower); on an accelerator
# 2 x 4096^2 x 4 B = 128 MiB, large enough that launching a tile costs nothing next to computing
# it.
_CPU_TILE_ELEMENTS = 1024 * 1024
_DEVICE_TILE_ELEMENTS = 4096 * 4096
# Backward of a tile of rows from different sets is one batched product; below this side the
# product is dominated by its overhead.
_MIN_CHUNK = 16


def streaming_contrast_sums(
    embeddings: Tensor,
    labels: Tensor,
    contrasted: Tensor | None,
    keys: Tensor,
    key_labels: Tensor,
    key_contrasted: Tensor | None,
    temperature: float,
    num_classes: int,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sum-exp over S(i), sum of positive similarities and number of positives.

    Args:
        embeddings: (G, N, D).
        labels: (G, N) int64 in [0, num_classes]; ``num_classes`` marks ignored rows.
        contrasted: (G, N) bool, rows that take part as contrast; None = all.
        keys: (M, D), shared by the G sets.
        key_labels: (M,) int64 in [0, num_classes].
        key_contrasted: (M,) bool; None = all.
        temperature: T > 0.
        num_classes: C.
        chunk_size: rows and columns of a tile; None chooses from the memory budget.

    Returns:
        The three quantities of :func:`paco_seg.core.dense.dense_contrast_sums`, each (G, N).
    """
    log_sum_exp = pairwise_logsumexp(
        embeddings, keys, temperature, contrasted, key_contrasted, chunk_size
    )
    positive_sum, positive_count = class_positive_sums(
        embeddings, labels, contrasted, keys, key_labels, key_contrasted, num_classes
    )
    return log_sum_exp, positive_sum / temperature, positive_count


def class_positive_sums(
    embeddings: Tensor,
    labels: Tensor,
    contrasted: Tensor | None,
    keys: Tensor,
    key_labels: Tensor,
    key_contrasted: Tensor | None,
    num_classes: int,
) -> tuple[Tensor, Tensor]:
    """``sum_{j in P(i)} z_i . z_j`` and ``|P(i)|`` through class sums, without pairs.

    Arguments as in :func:`streaming_contrast_sums`.

    Returns:
        Two tensors (G, N); values of rows labelled ``num_classes`` have no meaning.
    """
    sets, anchors, channels = embeddings.shape
    slots = num_classes + 1  # one more for ignored rows
    offset = torch.arange(sets, device=labels.device).unsqueeze(1) * slots
    index = (labels + offset).flatten()
    weight = embeddings.new_ones(sets, anchors) if contrasted is None else contrasted.to(embeddings)
    key_weight = keys.new_ones(len(keys)) if key_contrasted is None else key_contrasted.to(keys)

    counts = embeddings.new_zeros(sets * slots).index_add(0, index, weight.flatten())
    counts = counts.view(sets, slots)
    counts = counts + keys.new_zeros(slots).index_add(0, key_labels, key_weight)
    own_count = counts.flatten().index_select(0, index).view(sets, anchors) - weight

    rows = embeddings if contrasted is None else embeddings * weight.unsqueeze(-1)
    sums = embeddings.new_zeros(sets * slots, channels)
    sums = sums.index_add(0, index, rows.reshape(-1, channels)).view(sets, slots, channels)
    if len(keys):
        key_rows = keys if key_contrasted is None else keys * key_weight.unsqueeze(-1)
        sums = sums + keys.new_zeros(slots, channels).index_add(0, key_labels, key_rows)
    own_sum = sums.view(-1, channels).index_select(0, index).view_as(embeddings)
    # One product: z . (S - w z) rather than z . S - w z . z, which would cancel.
    return (embeddings * (own_sum - rows)).sum(dim=-1), own_count


@torch.compiler.disable  # type: ignore[untyped-decorator]
def pairwise_logsumexp(
    embeddings: Tensor,
    keys: Tensor,
    temperature: float,
    contrasted: Tensor | None = None,
    key_contrasted: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """``log sum_{j in S(i)} exp(z_i . z_j / T)`` for every row, in tiles.

    Equals ``(rows @ all_rows.T / T)`` with the own column and the columns that are not contrasted
    at -inf, then ``logsumexp``. Extra memory O((G N + M) D + tile), forward and backward. The
    result can be differentiated once.

    Rows need not be of unit length: the exponential is taken without a maximum only where the
    norms prove that neither the largest nor the smallest term leaves the range of the dtype;
    otherwise a sweep with a maximum per row is used (about twice the work). Rows that are not
    finite give a result that is not finite, as the dense form does.

    Args:
        embeddings: (G, N, D) float32 or float64.
        keys: (M, D), same dtype; M = 0 is allowed.
        temperature: T > 0.
        contrasted: (G, N) bool; None = all rows are contrast for the others of their set.
        key_contrasted: (M,) bool; None = all.
        chunk_size: rows and columns of a tile; None chooses from the memory budget.

    Returns:
        (G, N); -inf where S(i) is empty.
    """
    device_type = embeddings.device.type
    # Autocast would run the products of a tile in half precision.
    with torch.autocast(device_type=device_type, enabled=False):
        result: Tensor = _PairwiseLogSumExp.apply(
            embeddings, keys, temperature, contrasted, key_contrasted, chunk_size
        )
    return result


def default_chunk_size(sets: int, device_type: str) -> int:
    """Side of a square tile of ``sets`` batched products that fits the memory budget."""
    elements = _CPU_TILE_ELEMENTS if device_type == 'cpu' else _DEVICE_TILE_ELEMENTS
    return max(_MIN_CHUNK, math.isqrt(elements // max(sets, 1)))


def _exp_is_safe(embeddings: Tensor, keys: Tensor, temperature: float) -> bool:
    """Whether sum_j exp(s_ij) can neither overflow nor lose all its terms, for all rows.

    |s_ij| <= b = max |z_i| max |z_j| / T (Cauchy-Schwarz). The sum of R terms stays below
    R exp(b) and every term above exp(-b), so b + log R has to stay under the logarithm of the
    largest number and of the inverse of the smallest normal one (both about 87.3 in float32, 708
    in float64). The margin of 25 keeps the backward factor gradient / sum (gradients down to
    exp(-25) = 1e-11, a mean over many anchors) normal as well. With unit rows this holds for
    T > 0.02 at 131072 rows. A norm that is not finite fails the comparison. Reads one number
    back from the device.
    """
    if embeddings.numel() == 0:
        return True
    # Squares: an overflow to inf is as good an answer, and vector_norm() is several times slower.
    norm = embeddings.square().sum(dim=-1).amax().sqrt()
    largest = norm
    if len(keys):
        largest = torch.maximum(norm, keys.square().sum(dim=-1).amax().sqrt())
    bound = float(norm * largest) / temperature
    rows = embeddings.shape[1] + len(keys)
    return bound + math.log(rows) < -math.log(torch.finfo(embeddings.dtype).tiny) - 25.0


class _PairwiseLogSumExp(torch.autograd.Function):
    """Tiles of exp(z z^T / T), summed in forward and recomputed in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        embeddings: Tensor,
        keys: Tensor,
        temperature: float,
        contrasted: Tensor | None,
        key_contrasted: Tensor | None,
        chunk_size: int | None,
    ) -> Tensor:
        embeddings, keys = embeddings.contiguous(), keys.contiguous()
        weight = None if contrasted is None else contrasted.to(embeddings.dtype)
        key_weight = None if key_contrasted is None else key_contrasted.to(keys.dtype)
        chunk = chunk_size or default_chunk_size(embeddings.shape[0], embeddings.device.type)
        safe = _exp_is_safe(embeddings, keys, temperature)
        if safe:
            sums = _forward_symmetric(embeddings, weight, temperature, chunk)
            _forward_keys(sums, embeddings, keys, key_weight, temperature, chunk)
            log_sum_exp = sums.log_()
        else:
            log_sum_exp = _forward_row_maximum(
                embeddings, keys, weight, key_weight, temperature, chunk
            )
        ctx.save_for_backward(embeddings, keys, weight, key_weight, log_sum_exp)
        ctx.temperature, ctx.chunk, ctx.safe = temperature, chunk, safe
        return log_sum_exp

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Grad mode is on exactly under create_graph=True. torch's once_differentiable would let
        # an incoming gradient that is constant pass, and drop the second derivative silently.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "impl: expected 'dense' for second derivatives (create_graph=True), got "
                "'streaming', which can be differentiated once. Set impl='dense'"
            )
        embeddings, keys, weight, key_weight, log_sum_exp = ctx.saved_tensors
        need_rows, need_keys = ctx.needs_input_grad[:2]
        # An empty S(i) is a constant -inf: it has no gradient, whatever comes in.
        grad = grad.masked_fill(log_sum_exp == -torch.inf, 0.0)
        grad_rows = torch.zeros_like(embeddings)
        grad_keys = torch.zeros_like(keys) if need_keys else None
        device_type = embeddings.device.type
        with torch.autocast(device_type=device_type, enabled=False):
            if ctx.safe:
                # d lse_i / d s_ij = exp(s_ij) / sum_i; rows whose gradient is zero (ignored
                # anchors, an empty S(i)) have no weight.
                scale = torch.where(grad == 0, grad, grad * torch.exp(-log_sum_exp))
                if need_rows:
                    _backward_symmetric(
                        grad_rows, embeddings, weight, scale, ctx.temperature, ctx.chunk
                    )
                _backward_keys(
                    grad_rows,
                    grad_keys,
                    embeddings,
                    keys,
                    key_weight,
                    scale,
                    ctx.temperature,
                    ctx.chunk,
                )
            else:
                _backward_row_maximum(
                    grad_rows,
                    grad_keys,
                    embeddings,
                    keys,
                    weight,
                    key_weight,
                    log_sum_exp,
                    grad,
                    ctx.temperature,
                    ctx.chunk,
                )
        return grad_rows if need_rows else None, grad_keys, None, None, None, None


class _Tiles:
    """Reuses one buffer for the tiles of a sweep, which so allocates once."""

    def __init__(self, like: Tensor, elements: int, temperature: float) -> None:
        self._buffer = like.new_empty(elements)
        # exp(x) = 2^(x log2 e): on x86 PyTorch computes exp2 several times as fast as exp, which
        # it hands to a library of higher latency. The factor costs nothing inside the product.
        self._scale = math.log2(math.e) / temperature

    def exponentials(self, left: Tensor, right: Tensor) -> Tensor:
        """Exponentials exp(left . right / T): (B, R, D) x (B, S, D) -> (B, R, S)."""
        shape = (left.shape[0], left.shape[1], right.shape[1])
        tile = self._buffer[: math.prod(shape)].view(shape)
        # beta=0: the old content of the buffer is not read.
        torch.baddbmm(tile, left, right.transpose(1, 2), beta=0, alpha=self._scale, out=tile)
        return tile.exp2_()


def _chunks(length: int, chunk: int) -> list[tuple[int, int]]:
    return [(start, min(start + chunk, length)) for start in range(0, length, chunk)]


def _key_tile(rows: int, keys: int, chunk: int) -> tuple[int, int]:
    """Sides of a tile of at most chunk^2 elements; what one side lacks the other may take."""
    height = min(rows, max(chunk, chunk * chunk // keys))
    return height, min(keys, chunk * chunk // height)


def _forward_symmetric(
    embeddings: Tensor, weight: Tensor | None, temperature: float, chunk: int
) -> Tensor:
    """Sum of exp(s_ij) over the other contrasted rows of the set, (G, N)."""
    sets, anchors, _ = embeddings.shape
    sums = embeddings.new_zeros(sets, anchors)
    tiles = _Tiles(embeddings, sets * min(chunk, anchors) ** 2, temperature)
    blocks = _chunks(anchors, chunk)
    for row, (start, stop) in enumerate(blocks):
        rows = embeddings[:, start:stop]
        for first, last in blocks[row:]:
            tile = tiles.exponentials(rows, embeddings[:, first:last])
            if first == start:
                tile.diagonal(dim1=1, dim2=2).zero_()
                sums[:, start:stop] += _weighted_row_sums(tile, weight, first, last)
            else:
                sums[:, start:stop] += _weighted_row_sums(tile, weight, first, last)
                sums[:, first:last] += _weighted_row_sums(tile.transpose(1, 2), weight, start, stop)
    return sums


def _weighted_row_sums(tile: Tensor, weight: Tensor | None, first: int, last: int) -> Tensor:
    """Row sums of a tile over the columns first..last, those that are contrasted."""
    if weight is None:
        return tile.sum(dim=2)
    return torch.bmm(tile, weight[:, first:last].unsqueeze(2)).squeeze(2)


def _forward_keys(
    sums: Tensor,
    embeddings: Tensor,
    keys: Tensor,
    key_weight: Tensor | None,
    temperature: float,
    chunk: int,
) -> None:
    """Add sum_k exp(z_i . k / T) over the contrasted keys to ``sums``, in place."""
    rows, flat_sums = embeddings.flatten(0, 1).unsqueeze(0), sums.view(1, -1)
    if rows.shape[1] == 0 or len(keys) == 0:
        return
    weight = None if key_weight is None else key_weight.unsqueeze(0)
    height, width = _key_tile(rows.shape[1], len(keys), chunk)
    tiles = _Tiles(embeddings, height * width, temperature)
    for first, last in _chunks(len(keys), width):
        for start, stop in _chunks(rows.shape[1], height):
            tile = tiles.exponentials(rows[:, start:stop], keys[None, first:last])
            flat_sums[:, start:stop] += _weighted_row_sums(tile, weight, first, last)


def _backward_symmetric(
    grad_rows: Tensor,
    embeddings: Tensor,
    weight: Tensor | None,
    scale: Tensor,
    temperature: float,
    chunk: int,
) -> None:
    """Add the gradient of the symmetric part to ``grad_rows``.

    A pair enters twice, through row i and through row j, with the same exponential: the weight
    of the pair is ``exp(s_ij) (scale_i w_j + scale_j w_i)``, again symmetric.
    """
    sets, anchors, _ = embeddings.shape
    side = min(chunk, anchors)
    tiles = _Tiles(embeddings, sets * side * side, temperature)
    pair_buffer = embeddings.new_empty(sets * side * side)
    inverse = 1.0 / temperature
    blocks = _chunks(anchors, chunk)
    for row, (start, stop) in enumerate(blocks):
        rows = embeddings[:, start:stop]
        for first, last in blocks[row:]:
            columns = embeddings[:, first:last]
            tile = tiles.exponentials(rows, columns)
            pair = pair_buffer[: tile.numel()].view_as(tile)
            row_scale = scale[:, start:stop].unsqueeze(2)
            column_scale = scale[:, first:last].unsqueeze(1)
            if weight is None:
                torch.add(row_scale, column_scale, out=pair)
            else:
                torch.mul(row_scale, weight[:, first:last].unsqueeze(1), out=pair)
                pair.addcmul_(column_scale, weight[:, start:stop].unsqueeze(2))
            tile.mul_(pair)
            if first == start:
                tile.diagonal(dim1=1, dim2=2).zero_()
                grad_rows[:, start:stop].baddbmm_(tile, rows, alpha=inverse)
            else:
                grad_rows[:, start:stop].baddbmm_(tile, columns, alpha=inverse)
                grad_rows[:, first:last].baddbmm_(tile.transpose(1, 2), rows, alpha=inverse)


def _backward_keys(
    grad_rows: Tensor,
    grad_keys: Tensor | None,
    embeddings: Tensor,
    keys: Tensor,
    key_weight: Tensor | None,
    scale: Tensor,
    temperature: float,
    chunk: int,
) -> None:
    """Add the gradient of the rectangular part to ``grad_rows`` and ``grad_keys``."""
    rows, flat_scale = embeddings.flatten(0, 1), scale.reshape(-1)
    if len(rows) == 0 or len(keys) == 0:
        return
    flat_grad = grad_rows.view(rows.shape)
    height, width = _key_tile(len(rows), len(keys), chunk)
    tiles = _Tiles(embeddings, height * width, temperature)
    inverse = 1.0 / temperature
    for first, last in _chunks(len(keys), width):
        columns = keys[first:last]
        for start, stop in _chunks(len(rows), height):
            tile = tiles.exponentials(rows[None, start:stop], columns[None])[0]
            tile.mul_(flat_scale[start:stop].unsqueeze(1))
            if key_weight is not None:
                tile.mul_(key_weight[first:last])
            flat_grad[start:stop].addmm_(tile, columns, alpha=inverse)
            if grad_keys is not None:
                grad_keys[first:last].addmm_(tile.t(), rows[start:stop], alpha=inverse)


def _row_chunk(embeddings: Tensor, keys: Tensor, chunk: int) -> int:
    """Rows of a strip chunk x (N + M) that holds as many elements as a square tile."""
    return max(1, chunk * chunk // max(embeddings.shape[1] + len(keys), 1))


def _strip(
    embeddings: Tensor,
    keys: Tensor,
    weight: Tensor | None,
    key_weight: Tensor | None,
    temperature: float,
    start: int,
    stop: int,
) -> Tensor:
    """Masked similarities (G, stop - start, N + M) of some rows with all others."""
    rows = embeddings[:, start:stop]
    own = torch.matmul(rows, embeddings.transpose(1, 2)) / temperature
    own.diagonal(offset=start, dim1=1, dim2=2).fill_(-torch.inf)
    if weight is not None:
        own.masked_fill_((weight == 0).unsqueeze(1), -torch.inf)
    others = torch.matmul(rows, keys.t()) / temperature
    if key_weight is not None:
        others.masked_fill_(key_weight == 0, -torch.inf)
    return torch.cat([own, others], dim=2)


def _forward_row_maximum(
    embeddings: Tensor,
    keys: Tensor,
    weight: Tensor | None,
    key_weight: Tensor | None,
    temperature: float,
    chunk: int,
) -> Tensor:
    """Log-sum-exp with the maximum of each row subtracted: any norm, any temperature."""
    strips = [
        _strip(embeddings, keys, weight, key_weight, temperature, start, stop).logsumexp(dim=2)
        for start, stop in _chunks(embeddings.shape[1], _row_chunk(embeddings, keys, chunk))
    ]
    return torch.cat(strips, dim=1)


def _backward_row_maximum(
    grad_rows: Tensor,
    grad_keys: Tensor | None,
    embeddings: Tensor,
    keys: Tensor,
    weight: Tensor | None,
    key_weight: Tensor | None,
    log_sum_exp: Tensor,
    grad: Tensor,
    temperature: float,
    chunk: int,
) -> None:
    """Gradient of :func:`_forward_row_maximum`; the softmax of a strip needs no other shift."""
    anchors = embeddings.shape[1]
    for start, stop in _chunks(anchors, _row_chunk(embeddings, keys, chunk)):
        strip = _strip(embeddings, keys, weight, key_weight, temperature, start, stop)
        strip.sub_(log_sum_exp[:, start:stop].unsqueeze(2)).exp_()
        scale = grad[:, start:stop].unsqueeze(2) / temperature
        # A zero gradient (ignored anchor, empty S(i)) stays zero where the softmax is not a number.
        strip = torch.where(scale == 0, torch.zeros_like(scale), strip * scale)
        rows = embeddings[:, start:stop]
        own, others = strip[:, :, :anchors], strip[:, :, anchors:]
        grad_rows[:, start:stop] += torch.matmul(own, embeddings) + torch.matmul(others, keys)
        grad_rows += torch.matmul(own.transpose(1, 2), rows)
        if grad_keys is not None:
            grad_keys += torch.matmul(others.flatten(0, 1).t(), rows.flatten(0, 1))
