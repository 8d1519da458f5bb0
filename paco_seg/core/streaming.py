"""The same three per-anchor sums as ``dense``, exactly, without the N x N matrix.

Legend: G sets, N anchors, M keys, D channels, C classes; z rows, T temperature.

1. Positives need no pairs. ``sum_{j in P(i)} z_i . z_j = z_i . (S_{y_i} - z_i)`` with S_c the sum
   of all contrasted rows of class c: O((N + M) D) work, O(G C D) memory.
2. Only the log-sum-exp over S(i) sees pairs. It is computed tile by tile; the backward pass
   recomputes each tile (a set that is one small tile keeps it). Within a set the similarity
   matrix is symmetric, so a tile above the diagonal serves its rows and its columns: half the
   work of a rectangular sweep.
3. Rows of unit length bound every similarity by 1/T, hence exp() needs no running maximum. Rows
   whose norms allow more take a sweep that subtracts the maximum of each row of a tile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from paco_seg.core.slot_sums import slot_sums

if TYPE_CHECKING:  # contrast chooses between the implementations and therefore imports them
    from paco_seg.core.contrast import ContrastRows

# Elements of one tile when ``chunk_size`` is not given. Two tiles are alive at a time (the
# exponentials, and in backward their weights; the sweep with a maximum adds one, two under a
# mask): on CPU 2 x 768^2 x 4 B = 4.5 MiB, which stays in a last-level cache (sides of 640 to 1024
# measure alike, 384 and 2048 are slower); on an accelerator 2 x 4096^2 x 4 B = 128 MiB, large
# enough that launching a tile costs nothing next to computing it.
_CPU_TILE_ELEMENTS = 768 * 768
_DEVICE_TILE_ELEMENTS = 4096 * 4096
# A set that is one tile of at most so many elements (4 MiB) keeps its exponentials for backward.
_KEPT_ELEMENTS = 1024 * 1024
# Backward of a tile of rows from different sets is one batched product; below this side the
# product is dominated by its overhead.
_MIN_CHUNK = 16
_LOG2_E = math.log2(math.e)


def streaming_contrast_sums(
    rows: ContrastRows,
    temperature: float,
    chunk_size: int | None = None,
    *,
    need_lse: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of :class:`paco_seg.core.contrast.ContrastSums` without the matrix.

    Args:
        rows: G sets of N rows and M keys.
        temperature: T > 0.
        chunk_size: rows and columns of a tile; None chooses from the memory budget.
        need_lse: False leaves out the log-sum-exp (-inf in its place): positives need no pairs.

    Returns:
        The three quantities of :func:`paco_seg.core.dense.dense_contrast_sums`, each (G, N).
    """
    # Once for both: on a device it is a synchronisation.
    largest = 1.0 if rows.unit_rows else largest_product(rows.embeddings, rows.keys)
    # Ahead of the class sums: autograd adds gradients against the order of the calls, and float
    # sums depend on their order; results stay those of earlier versions to the bit.
    log_sum_exp = rows.embeddings.new_full(rows.embeddings.shape[:2], -torch.inf)
    if need_lse:
        log_sum_exp = pairwise_logsumexp(
            rows.embeddings,
            rows.keys,
            temperature,
            rows.contrasted,
            rows.key_contrasted,
            chunk_size,
            largest,
        )
    positive_sum, positive_count = class_positive_sums(rows, largest)
    return log_sum_exp, positive_sum / temperature, positive_count


def class_positive_sums(rows: ContrastRows, largest: float | None = None) -> tuple[Tensor, Tensor]:
    """Return ``sum_{j in P(i)} z_i . z_j`` and ``|P(i)|`` from class sums, without pairs.

    Where rows are longer than 2, float32 input is summed in float64: under one long row the sum of
    its class would lose the short ones.

    Args:
        rows: G sets of N rows and M keys.
        largest: :func:`largest_product`, where the caller knows it.

    Returns:
        Two tensors (G, N); values of rows with the class index C have no meaning.
    """
    embeddings, class_index, contrasted, keys, key_index, key_contrasted, num_classes, _ = rows
    if largest is None:
        largest = largest_product(embeddings, keys)
    if embeddings.dtype == torch.float32 and largest > 4.0:
        wide = rows._replace(embeddings=embeddings.double(), keys=keys.double())
        positive_sum, positive_count = class_positive_sums(wide, largest)
        return positive_sum.float(), positive_count.float()
    sets, anchors, _ = embeddings.shape
    slots = num_classes + 1  # one more for ignored rows
    weight = embeddings.new_ones(sets, anchors) if contrasted is None else contrasted.to(embeddings)
    key_weight = keys.new_ones(len(keys)) if key_contrasted is None else key_contrasted.to(keys)
    parts = embeddings if contrasted is None else embeddings * weight.unsqueeze(-1)
    key_parts = keys if key_contrasted is None else keys * key_weight.unsqueeze(-1)

    members = _Members(class_index, slots, embeddings)
    counts, sums = members.add(weight.unsqueeze(-1)), members.add(parts)
    if len(keys):
        key_members = _Members(key_index.unsqueeze(0), slots, keys)
        counts = counts + key_members.add(key_weight[None, :, None])
        sums = sums + key_members.add(key_parts.unsqueeze(0))
    own_count = members.take(counts).squeeze(-1) - weight
    # One product: z . (S - w z) rather than z . S - w z . z, which would cancel.
    return (embeddings * (members.take(sums) - parts)).sum(dim=-1), own_count


class _Members:
    """Who belongs to which of S slots, for sums over slots and their way back to the rows.

    On a CPU rows are added where they belong. On a device that would be atomic additions, forward
    and in the backward pass of ``take``, in an order that changes from run to run: there both are
    products with the one-hot matrix, as long as that is no larger than a tile.

    Args:
        index: (G, R) int64 in [0, S).
        slots: S.
        like: tensor of the dtype of the sums.
    """

    def __init__(self, index: Tensor, slots: int, like: Tensor) -> None:
        self._slots = slots
        self._index = index
        self._one_hot: Tensor | None = None
        if index.device.type != 'cpu' and index.numel() * slots <= _DEVICE_TILE_ELEMENTS:
            classes = torch.arange(slots, device=index.device)
            self._one_hot = (index.unsqueeze(-1) == classes).to(like.dtype)

    def add(self, values: Tensor) -> Tensor:
        """Sum the rows of each slot: (G, R, D) -> (G, S, D)."""
        if self._one_hot is not None:
            return torch.bmm(self._one_hot.transpose(1, 2), values)
        return slot_sums(values, self._index, self._slots)

    def take(self, sums: Tensor) -> Tensor:
        """Give every row the sum of its slot: (G, S, D) -> (G, R, D)."""
        if self._one_hot is not None:
            return torch.bmm(self._one_hot, sums)
        first = torch.arange(len(sums), device=sums.device).unsqueeze(1) * self._slots
        rows = sums.flatten(0, 1).index_select(0, (first + self._index).flatten())
        return rows.view(*self._index.shape, sums.shape[2])


@torch.compiler.disable  # type: ignore[untyped-decorator]
def pairwise_logsumexp(
    embeddings: Tensor,
    keys: Tensor,
    temperature: float,
    contrasted: Tensor | None = None,
    key_contrasted: Tensor | None = None,
    chunk_size: int | None = None,
    largest: float | None = None,
) -> Tensor:
    """Return ``log sum_{j in S(i)} exp(z_i . z_j / T)`` for every row, in tiles.

    Equals ``(rows @ all_rows.T / T)`` with the own column and the columns that are not contrasted
    at -inf, then ``logsumexp``. Extra memory O((G N + M) D + tile), forward and backward. The
    result can be differentiated once.

    Rows need not be of unit length: the exponential is taken without a maximum only where the
    norms prove that neither the largest nor the smallest term leaves the range of the dtype;
    otherwise a sweep subtracts the maximum of each row of a tile: the same products, a few
    times the passes over a tile. Rows that are not
    finite give a result that is not finite, as the dense form does.

    Args:
        embeddings: (G, N, D) float32 or float64.
        keys: (M, D), same dtype; M = 0 is allowed.
        temperature: T > 0.
        contrasted: (G, N) bool; None = all rows are contrast for the others of their set.
        key_contrasted: (M,) bool; None = all.
        chunk_size: rows and columns of a tile; None chooses from the memory budget.
        largest: :func:`largest_product`, where the caller knows it.

    Returns:
        (G, N); -inf where S(i) is empty.

    Example:
        >>> rows = torch.eye(3).unsqueeze(0)  # every similarity to another row is 0: log(1 + 1)
        >>> pairwise_logsumexp(rows, torch.empty(0, 3), temperature=0.1)
        tensor([[0.6931, 0.6931, 0.6931]])
    """
    device_type = embeddings.device.type
    # Autocast would run the products of a tile in half precision.
    with torch.autocast(device_type=device_type, enabled=False):
        result: Tensor = _PairwiseLogSumExp.apply(
            embeddings, keys, temperature, contrasted, key_contrasted, chunk_size, largest
        )
    return result


def default_chunk_size(sets: int, device_type: str) -> int:
    """Return the side of a square tile of ``sets`` batched products that fits the memory budget."""
    elements = _CPU_TILE_ELEMENTS if device_type == 'cpu' else _DEVICE_TILE_ELEMENTS
    return max(_MIN_CHUNK, math.isqrt(elements // max(sets, 1)))


def largest_product(embeddings: Tensor, keys: Tensor) -> float:
    """Bound |z_i . z_j| by max |z_i| max |z_j|, keys included; reads one number back."""
    if embeddings.numel() == 0:
        return 0.0
    # Squares: an overflow to inf is as good an answer, and vector_norm() is several times slower.
    norm = embeddings.detach().square().sum(dim=-1).amax().sqrt()
    largest = norm
    if len(keys):
        largest = torch.maximum(norm, keys.detach().square().sum(dim=-1).amax().sqrt())
    return float(norm * largest)


def _exp_is_safe(largest: float, embeddings: Tensor, keys: Tensor, temperature: float) -> bool:
    """Tell whether sum_j exp(s_ij) can neither overflow nor lose all its terms, for all rows.

    |s_ij| <= b = max |z_i| max |z_j| / T (Cauchy-Schwarz). The sum of R terms stays below
    R exp(b) and every term above exp(-b), so b + log R has to stay under the logarithm of the
    largest number and of the inverse of the smallest normal one (both about 87.3 in float32, 708
    in float64). The margin of 25 keeps the backward factor gradient / sum (gradients down to
    exp(-25) = 1e-11, a mean over many anchors) normal as well. With unit rows this holds for
    T > 0.02 at 131072 rows. A norm that is not finite fails the comparison.
    """
    bound = largest / temperature
    rows = embeddings.shape[1] + len(keys)
    return bound + math.log(max(rows, 1)) < -math.log(torch.finfo(embeddings.dtype).tiny) - 25.0


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
        largest: float | None,
    ) -> Tensor:
        embeddings, keys = embeddings.contiguous(), keys.contiguous()
        chunk = chunk_size or default_chunk_size(embeddings.shape[0], embeddings.device.type)
        if largest is None:
            largest = largest_product(embeddings, keys)
        safe = _exp_is_safe(largest, embeddings, keys, temperature)
        tile = None
        if safe:
            sums, tile = _sum_set(embeddings, contrasted, temperature, chunk)
            _sum_keys(sums, embeddings, keys, key_contrasted, temperature, chunk)
            log_sums = sums.log2_()
        else:
            log_sums = _log_sum_shifted(
                embeddings, keys, contrasted, key_contrasted, temperature, chunk
            )
        if not ctx.needs_input_grad[0] or (tile is not None and tile.numel() > _KEPT_ELEMENTS):
            tile = None
        # In the units of the tiles: after a conversion the largest weight would no longer be 1.
        ctx.save_for_backward(embeddings, keys, contrasted, key_contrasted, log_sums, tile)
        ctx.temperature, ctx.chunk, ctx.safe = temperature, chunk, safe
        return log_sums / _LOG2_E

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Grad mode is on exactly under create_graph=True. torch's once_differentiable would let
        # an incoming gradient that is constant pass, and drop the second derivative silently.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "impl: expected 'dense' for second derivatives (create_graph=True), got "
                "'streaming', which can be differentiated once. Set impl='dense'"
            )
        embeddings, keys, contrasted, key_contrasted, log_sums, tile = ctx.saved_tensors
        need_rows, need_keys = ctx.needs_input_grad[:2]
        # An empty S(i) is a constant -inf: it has no gradient, whatever comes in.
        grad = grad.masked_fill(log_sums == -torch.inf, 0.0)
        # d lse_i / d s_ij = exp(s_ij - lse_i); rows whose gradient is zero (ignored anchors, an
        # empty S(i)) have no weight.
        shift = log_sums.masked_fill(grad == 0, torch.inf)
        if ctx.safe:  # exp(s_ij) exp(-lse_i): the second factor leaves the tile
            grad, shift = grad * torch.exp2(-shift), None
        grad_rows = torch.zeros_like(embeddings) if need_rows else None
        grad_keys = torch.zeros_like(keys) if need_keys else None
        settings = (ctx.temperature, ctx.chunk)
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            if grad_rows is not None:
                _backward_set(grad_rows, embeddings, contrasted, grad, shift, tile, *settings)
            _backward_keys(
                grad_rows, grad_keys, embeddings, keys, key_contrasted, grad, shift, *settings
            )
        return grad_rows, grad_keys, None, None, None, None, None


class _Block(NamedTuple):
    """Rows start..stop and columns first..last."""

    start: int
    stop: int
    first: int
    last: int


def _set_blocks(anchors: int, chunk: int) -> list[_Block]:
    """Form square tiles on and above the diagonal."""
    ends = [(start, min(start + chunk, anchors)) for start in range(0, anchors, chunk)]
    return [_Block(*rows, *columns) for i, rows in enumerate(ends) for columns in ends[i:]]


def _key_blocks(rows: int, keys: int, chunk: int) -> list[_Block]:
    """Form tiles of at most chunk^2 elements; what one side lacks the other may take."""
    if rows == 0 or keys == 0:
        return []
    height = min(rows, max(chunk, chunk * chunk // keys))
    width = min(keys, chunk * chunk // height)
    return [
        _Block(start, min(start + height, rows), first, min(first + width, keys))
        for first in range(0, keys, width)
        for start in range(0, rows, height)
    ]


class _Tiles:
    """Reuses one buffer for the tiles of a sweep, which so allocates once."""

    def __init__(self, like: Tensor, batch: int, blocks: list[_Block], temperature: float) -> None:
        start, stop, first, last = blocks[0] if blocks else (0, 0, 0, 0)  # none is larger
        self._buffer = like.new_empty(batch * (stop - start) * (last - first))
        self._temperature = temperature

    def empty(self, *shape: int) -> Tensor:
        """Return the buffer in this shape."""
        return self._buffer[: math.prod(shape)].view(shape)

    def binary_logits(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the products left . right / (T ln 2), so that exp(s) = 2^x: -> (B, R, S).

        On x86 PyTorch computes exp2 several times as fast as exp, which it hands to a library of
        higher latency. The factor costs nothing inside the product.
        """
        tile = self.empty(left.shape[0], left.shape[1], right.shape[1])
        alpha = _LOG2_E / self._temperature
        # beta=0: the old content of the buffer is not read.
        return torch.baddbmm(tile, left, right.transpose(1, 2), beta=0, alpha=alpha, out=tile)

    def exponentials(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the exponentials exp(left . right / T): (B, R, D) x (B, S, D) -> (B, R, S)."""
        return self.binary_logits(left, right).exp2_()


def _sum_set(
    embeddings: Tensor, contrasted: Tensor | None, temperature: float, chunk: int
) -> tuple[Tensor, Tensor | None]:
    """Sum of exp(s_ij) over the other contrasted rows of the set, (G, N).

    The second result is the tile, diagonal zero, where a single one covers the set.
    """
    sets, anchors, _ = embeddings.shape
    sums = embeddings.new_zeros(sets, anchors)  # added to through views: `+=` would copy as well
    weight = None if contrasted is None else contrasted.to(embeddings.dtype)
    blocks = _set_blocks(anchors, chunk)
    tiles = _Tiles(embeddings, sets, blocks, temperature)
    tile = None
    for start, stop, first, last in blocks:
        tile = tiles.exponentials(embeddings[:, start:stop], embeddings[:, first:last])
        if first == start:
            tile.diagonal(dim1=1, dim2=2).zero_()
        else:
            columns = _weighted_row_sums(tile.transpose(1, 2), weight, start, stop)
            sums[:, first:last].add_(columns)
        sums[:, start:stop].add_(_weighted_row_sums(tile, weight, first, last))
    return sums, tile if len(blocks) == 1 else None


def _weighted_row_sums(tile: Tensor, weight: Tensor | None, first: int, last: int) -> Tensor:
    """Sum the rows of a tile over the columns first..last, those that are contrasted."""
    if weight is None:
        return tile.sum(dim=2)
    return torch.bmm(tile, weight[:, first:last].unsqueeze(2)).squeeze(2)


def _sum_keys(
    sums: Tensor,
    embeddings: Tensor,
    keys: Tensor,
    key_contrasted: Tensor | None,
    temperature: float,
    chunk: int,
) -> None:
    """Add sum_k exp(z_i . k / T) over the contrasted keys to ``sums``, in place."""
    rows, flat_sums = embeddings.flatten(0, 1).unsqueeze(0), sums.view(1, -1)
    weight = None if key_contrasted is None else key_contrasted.to(keys.dtype).unsqueeze(0)
    blocks = _key_blocks(rows.shape[1], len(keys), chunk)
    tiles = _Tiles(embeddings, 1, blocks, temperature)
    for start, stop, first, last in blocks:
        tile = tiles.exponentials(rows[:, start:stop], keys[None, first:last])
        flat_sums[:, start:stop].add_(_weighted_row_sums(tile, weight, first, last))


def _log_sum_shifted(
    embeddings: Tensor,
    keys: Tensor,
    contrasted: Tensor | None,
    key_contrasted: Tensor | None,
    temperature: float,
    chunk: int,
) -> Tensor:
    """Return the binary log-sum-exp, less the maximum of each row of a tile: any norm or T."""
    sets, anchors, _ = embeddings.shape
    log_sums = embeddings.new_full((sets, anchors), -torch.inf)
    dropped = None if contrasted is None else ~contrasted
    blocks = _set_blocks(anchors, chunk)
    tiles = _Tiles(embeddings, sets, blocks, temperature)
    for start, stop, first, last in blocks:
        tile = tiles.binary_logits(embeddings[:, start:stop], embeddings[:, first:last])
        if first == start:
            tile.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
        else:
            _add_log_sums(log_sums[:, first:last], tile.transpose(1, 2), dropped, start, stop)
        _add_log_sums(log_sums[:, start:stop], tile, dropped, first, last)

    rows, flat_sums = embeddings.flatten(0, 1).unsqueeze(0), log_sums.view(1, -1)
    dropped = None if key_contrasted is None else ~key_contrasted.unsqueeze(0)
    blocks = _key_blocks(rows.shape[1], len(keys), chunk)
    tiles = _Tiles(embeddings, 1, blocks, temperature)
    for start, stop, first, last in blocks:
        tile = tiles.binary_logits(rows[:, start:stop], keys[None, first:last])
        _add_log_sums(flat_sums[:, start:stop], tile, dropped, first, last)
    return log_sums


def _add_log_sums(
    log_sums: Tensor, tile: Tensor, dropped: Tensor | None, first: int, last: int
) -> None:
    """Add columns first..last, but the dropped ones, to running binary logarithms in place."""
    if dropped is not None:
        tile = tile.masked_fill(dropped[:, None, first:last], -torch.inf)
    largest = tile.amax(dim=2, keepdim=True)
    largest = largest.masked_fill(largest.isinf(), 0.0)  # inf - inf would not be a number
    sums = (tile - largest).exp2_().sum(dim=2).log2_().add_(largest.squeeze(2))
    torch.logaddexp2(log_sums, sums, out=log_sums)


def _backward_set(
    grad_rows: Tensor,
    embeddings: Tensor,
    contrasted: Tensor | None,
    scale: Tensor,
    shift: Tensor | None,
    kept: Tensor | None,
    temperature: float,
    chunk: int,
) -> None:
    """Add the gradient of the sums over the set to ``grad_rows``.

    A pair enters twice, through row i and through row j, with the same similarity. With w the
    contrasted rows its weight is ``2^(x_ij - shift_i) scale_i w_j + 2^(x_ij - shift_j) scale_j
    w_i``, again symmetric. Without shifts it has one exponential, which may be ``kept`` from
    forward.
    """
    sets, anchors, _ = embeddings.shape
    weight = None if contrasted is None else contrasted.to(embeddings.dtype)
    blocks = _set_blocks(anchors, chunk)
    tiles = _Tiles(embeddings, sets, blocks if kept is None else [], temperature)
    pairs = _Tiles(embeddings, sets, blocks, temperature)
    inverse = 1.0 / temperature
    for start, stop, first, last in blocks:
        rows, columns = embeddings[:, start:stop], embeddings[:, first:last]
        row_scale, column_scale = scale[:, start:stop, None], scale[:, None, first:last]
        pair = pairs.empty(sets, stop - start, last - first)
        if shift is None:
            tile = tiles.exponentials(rows, columns) if kept is None else kept
            if weight is None:
                torch.add(row_scale, column_scale, out=pair)
            else:
                torch.mul(row_scale, weight[:, None, first:last], out=pair)
                pair.addcmul_(column_scale, weight[:, start:stop, None])
            pair.mul_(tile)
        else:
            tile = tiles.binary_logits(rows, columns)
            torch.sub(tile, shift[:, start:stop, None], out=pair)
            pair.exp2_().mul_(row_scale)
            if contrasted is not None:  # what is not in the sum may be inf: no product
                pair.masked_fill_(~contrasted[:, None, first:last], 0.0)
            if first == start:
                # x_ji rather than x_ij: shift_j belongs to it, and long rows round differently.
                tile.copy_(pair.transpose(1, 2))
            else:
                tile.sub_(shift[:, None, first:last]).exp2_().mul_(column_scale)
                if contrasted is not None:
                    tile.masked_fill_(~contrasted[:, start:stop, None], 0.0)
            pair.add_(tile)
        if first == start:
            pair.diagonal(dim1=1, dim2=2).zero_()
            grad_rows[:, start:stop].baddbmm_(pair, rows, alpha=inverse)
        else:
            grad_rows[:, start:stop].baddbmm_(pair, columns, alpha=inverse)
            grad_rows[:, first:last].baddbmm_(pair.transpose(1, 2), rows, alpha=inverse)


def _backward_keys(
    grad_rows: Tensor | None,
    grad_keys: Tensor | None,
    embeddings: Tensor,
    keys: Tensor,
    key_contrasted: Tensor | None,
    scale: Tensor,
    shift: Tensor | None,
    temperature: float,
    chunk: int,
) -> None:
    """Add the gradient of the sums over the keys to ``grad_rows`` and set ``grad_keys``."""
    rows, flat_scale = embeddings.flatten(0, 1), scale.reshape(-1, 1)
    flat_shift = None if shift is None else shift.reshape(-1, 1)
    flat_grad = None if grad_rows is None else grad_rows.view(rows.shape)
    # Keys that are not contrasted leave after the products, once, rather than from each tile.
    columns = keys
    if key_contrasted is not None:
        columns = keys.masked_fill(~key_contrasted.unsqueeze(1), 0.0)
    blocks = _key_blocks(len(rows), len(keys), chunk)
    tiles = _Tiles(embeddings, 1, blocks, temperature)
    inverse = 1.0 / temperature
    for start, stop, first, last in blocks:
        left, right = rows[None, start:stop], columns[None, first:last]
        if flat_shift is None:
            tile = tiles.exponentials(left, right)[0]
        else:
            tile = tiles.binary_logits(left, right)[0].sub_(flat_shift[start:stop]).exp2_()
            if key_contrasted is not None:  # 2^(0 - shift) may be inf
                tile.masked_fill_(~key_contrasted[first:last], 0.0)
        tile.mul_(flat_scale[start:stop])
        if flat_grad is not None:
            flat_grad[start:stop].addmm_(tile, columns[first:last], alpha=inverse)
        if grad_keys is not None:
            grad_keys[first:last].addmm_(tile.t(), rows[start:stop], alpha=inverse)
    if grad_keys is not None and key_contrasted is not None:
        grad_keys.masked_fill_(~key_contrasted.unsqueeze(1), 0.0)
