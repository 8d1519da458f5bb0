"""Triton kernels of the per-anchor loss: no N x N matrix, no atomics, no synchronisation.

Imported by :mod:`paco_seg.core.fused` alone, and only when a kernel is about to run: the package
itself needs no Triton.

Legend: z rows, N of a set; k keys, M of them; C classes; s_ij = z_i . z_j / (T ln 2), so that
exp(z_i . z_j / T) = 2^s_ij; L_i the binary logarithm of the denominator of row i. Row labels are
class indices. Column labels are class indices too, and negative where a column is in no contrast
set; columns beyond the end read a negative label, which so needs no test of its own.

One pass over the columns gives a row everything it needs: the running log-sum-exp (maximum and
mass, as in flash attention, hence rows of any length), the sum and the number of its positives,
whose labels are compared inside the tile that is there anyway. The centers enter the same
log-sum-exp first. Backward needs L_i and the number of positives, nothing else: the loss of a row
depends on log Den_i with the constant factor T / T_base.

Products run on tensor cores with float32 accumulation. ``SPLIT``: the operands are sums of two
bfloat16 (high + low) and three of the four products are taken. Else float32 operands have to be
rounded to tf32 before (Triton would hand them over as they are and the hardware truncates), and
half operands are taken as they are.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Whether the decorators below made functions for Triton's interpreter (TRITON_INTERPRET=1 when
# Triton was imported), which runs them on the CPU.
INTERPRETED: bool = triton.knobs.runtime.interpret

# Finite, so that the first update of a running maximum subtracts no infinities; below any logit.
_LOWEST = tl.constexpr(-1.0e30)
_LOG2_E = tl.constexpr(1.4426950408889634)
_LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _rows(HIGH, LOW, index, limit, D: tl.constexpr, BLOCK_D: tl.constexpr, SPLIT: tl.constexpr):
    """Load rows ``index`` of a matrix (limit, D), zero beyond its end: high part, low part."""
    d = tl.arange(0, BLOCK_D)
    place = index[:, None] * D + d[None, :]
    inside = (index < limit)[:, None]
    if BLOCK_D != D:
        inside = inside & (d < D)[None, :]
    high = tl.load(HIGH + place, mask=inside, other=0.0)
    low = high
    if SPLIT:
        low = tl.load(LOW + place, mask=inside, other=0.0)
    return high, low


@triton.jit
def _similarities(left, left_low, right, right_low, SPLIT: tl.constexpr):
    """Products left right^T: (R, D) x (S, D) -> (R, S) float32, the small ones added first."""
    columns = tl.trans(right)
    if SPLIT:
        tile = tl.dot(left_low, columns)
        tile = tl.dot(left, tl.trans(right_low), tile)
        tile = tl.dot(left, columns, tile)
    else:
        tile = tl.dot(left, columns, input_precision='tf32')
    return tile


@triton.jit
def _add_weighted_rows(total, weight, rows, low, SPLIT: tl.constexpr):
    """Add weight rows, (R, S) x (S, D), to the total; the weights get the operands' precision."""
    if SPLIT:
        high = weight.to(tl.bfloat16)
        rest = (weight - high.to(tl.float32)).to(tl.bfloat16)
        total = tl.dot(rest, rows, total)
        total = tl.dot(high, low, total)
        total = tl.dot(high, rows, total)
    elif rows.dtype == tl.float32:
        # To the nearest number of 10 mantissa bits, ties away from zero.
        bits = weight.to(tl.int32, bitcast=True)
        weight = ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
        total = tl.dot(weight, rows, total, input_precision='tf32')
    else:
        total = tl.dot(weight.to(rows.dtype), rows, total)
    return total


@triton.jit
def _add_exponentials(top, mass, logits):
    """Add a tile of binary logits, excluded ones at -inf, to running maxima and masses."""
    new = tl.maximum(top, tl.max(logits, 1))
    mass = mass * tl.exp2(top - new) + tl.sum(tl.exp2(logits - new[:, None]), 1)
    return new, mass


@triton.jit
def _add_columns(
    top, mass, positives, count, tile, own, seen, label, log2_gamma
):  # fmt: skip
    """Add a tile of s_ij to the four running quantities of its rows.

    ``own`` (R,) are the labels of the rows, ``label`` (S,) of the columns, ``seen`` (R, S) tells
    which pairs are in a contrast set.
    """
    positive = seen & (own[:, None] == label[None, :])
    positives += tl.sum(tl.where(positive, tile, 0.0), 1)
    count += tl.sum(positive.to(tl.float32), 1)
    logits = tl.where(seen, tile + log2_gamma, float('-inf'))
    top, mass = _add_exponentials(top, mass, logits)
    return top, mass, positives, count


@triton.jit
def forward_kernel(
    X, X_LOW, LABEL, COLUMN, K, K_LOW, KEY_LABEL, LOGITS, LOG_DEN, COUNT, VALUE,
    N, M, C, scale, log2_gamma, alpha, beta, smoothing, factor,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SPLIT: tl.constexpr, SMOOTH: tl.constexpr,
    HAS_KEYS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Loss, log denominator and number of positives of BLOCK_M rows of one set."""
    start = tl.program_id(1).to(tl.int64) * N
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = rows < N
    X += start * D
    if SPLIT:
        X_LOW += start * D
    own = tl.load(LABEL + start + rows, mask=inside, other=-2)
    top = tl.full([BLOCK_M], _LOWEST, tl.float32)
    mass = tl.zeros([BLOCK_M], tl.float32)
    positives = tl.zeros([BLOCK_M], tl.float32)
    count = tl.zeros([BLOCK_M], tl.float32)

    # Few classes at a time: a whole row of logits would not fit the registers.
    own_logit = tl.zeros([BLOCK_M], tl.float32)
    all_logits = tl.zeros([BLOCK_M], tl.float32)
    LOGITS += start * C
    for first in range(0, C, BLOCK_C):
        c = first + tl.arange(0, BLOCK_C)
        is_class = inside[:, None] & (c < C)[None, :]
        place = rows[:, None].to(tl.int64) * C + c[None, :]
        logits = tl.load(LOGITS + place, mask=is_class, other=0.0).to(tl.float32) * _LOG2_E
        own_logit += tl.sum(tl.where(c[None, :] == own[:, None], logits, 0.0), 1)
        if SMOOTH:
            all_logits += tl.sum(logits, 1)
        # Beyond the classes -inf; rows beyond the set keep a finite maximum.
        logits = tl.where((c < C)[None, :], logits, float('-inf'))
        top, mass = _add_exponentials(top, mass, logits)
    target = own_logit
    if SMOOTH:
        other = smoothing / (C - 1)
        target = (1.0 - smoothing - other) * own_logit + other * all_logits

    z, z_low = _rows(X, X_LOW, rows, N, D, BLOCK_D, SPLIT)
    for first in range(0, N, BLOCK_N):
        columns = first + tl.arange(0, BLOCK_N)
        other_z, other_low = _rows(X, X_LOW, columns, N, D, BLOCK_D, SPLIT)
        tile = _similarities(z, z_low, other_z, other_low, SPLIT) * scale
        label = tl.load(COLUMN + start + columns, mask=columns < N, other=-1)
        seen = (label >= 0)[None, :] & (columns[None, :] != rows[:, None])
        top, mass, positives, count = _add_columns(
            top, mass, positives, count, tile, own, seen, label, log2_gamma
        )
    if HAS_KEYS:
        for first in range(0, M, BLOCK_N):
            columns = first + tl.arange(0, BLOCK_N)
            key, key_low = _rows(K, K_LOW, columns, M, D, BLOCK_D, SPLIT)
            tile = _similarities(z, z_low, key, key_low, SPLIT) * scale
            label = tl.load(KEY_LABEL + columns, mask=columns < M, other=-1)
            seen = (label >= 0)[None, :] & inside[:, None]
            top, mass, positives, count = _add_columns(
                top, mass, positives, count, tile, own, seen, label, log2_gamma
            )

    log_den = top + tl.log2(mass)
    weight = beta + alpha * count
    counted = weight > 0.0
    value = beta * (target - log_den) + alpha * (positives - count * log_den)
    value = value / tl.where(counted, weight, 1.0) * (-factor * _LN_2)
    tl.store(LOG_DEN + start + rows, log_den, mask=inside)
    tl.store(COUNT + start + rows, count, mask=inside)
    tl.store(VALUE + start + rows, tl.where(counted, value, 0.0), mask=inside)


@triton.jit
def rows_kernel(
    X, X_LOW, LABEL, COLUMN, K, K_LOW, KEY_LABEL, LOG_DEN, BY_DEN, BY_POSITIVE, UNIT, OUT,
    N, M, scale, log2_gamma, inverse,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SPLIT: tl.constexpr, HAS_KEYS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Gradient by BLOCK_M rows of one set.

    A pair of rows enters through both, p_ij = gamma 2^(s_ij - L_i)::

        dz_i = 1/T sum_j [ (p_ij a_i + same_ij h_i) in_j + (p_ji a_j + same_ij h_j) in_i ] z_j

    with a_i = ``BY_DEN`` the gradient by log Den_i, h_i = ``BY_POSITIVE`` that by the sum of
    positives, and in_i whether column i is contrasted. ``UNIT`` (1,) is the unit of a and h.
    """
    start = tl.program_id(1).to(tl.int64) * N
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = rows < N
    X += start * D
    if SPLIT:
        X_LOW += start * D
    z, z_low = _rows(X, X_LOW, rows, N, D, BLOCK_D, SPLIT)
    own = tl.load(LABEL + start + rows, mask=inside, other=-2)
    row_in = tl.load(COLUMN + start + rows, mask=inside, other=-1) >= 0
    a_row = tl.load(BY_DEN + start + rows, mask=inside, other=0.0)
    h_row = tl.load(BY_POSITIVE + start + rows, mask=inside, other=0.0)
    l_row = tl.load(LOG_DEN + start + rows, mask=inside, other=0.0) - log2_gamma
    total = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    for first in range(0, N, BLOCK_N):
        columns = first + tl.arange(0, BLOCK_N)
        is_column = columns < N
        other_z, other_low = _rows(X, X_LOW, columns, N, D, BLOCK_D, SPLIT)
        tile = _similarities(z, z_low, other_z, other_low, SPLIT) * scale
        # Row labels, since a positive of the row may itself be an anchor that is no contrast.
        label = tl.load(LABEL + start + columns, mask=is_column, other=-1)
        column_in = tl.load(COLUMN + start + columns, mask=is_column, other=-1) >= 0
        a_column = tl.load(BY_DEN + start + columns, mask=is_column, other=0.0)
        h_column = tl.load(BY_POSITIVE + start + columns, mask=is_column, other=0.0)
        l_column = tl.load(LOG_DEN + start + columns, mask=is_column, other=0.0) - log2_gamma
        same = own[:, None] == label[None, :]
        # Choices rather than products: what is in no sum may overflow.
        left = tl.exp2(tile - l_row[:, None]) * a_row[:, None]
        left += tl.where(same, h_row[:, None], 0.0)
        right = tl.exp2(tile - l_column[None, :]) * a_column[None, :]
        right += tl.where(same, h_column[None, :], 0.0)
        weight = tl.where(column_in[None, :], left, 0.0) + tl.where(row_in[:, None], right, 0.0)
        weight = tl.where(is_column[None, :] & (columns[None, :] != rows[:, None]), weight, 0.0)
        total = _add_weighted_rows(total, weight, other_z, other_low, SPLIT)
    if HAS_KEYS:
        for first in range(0, M, BLOCK_N):
            columns = first + tl.arange(0, BLOCK_N)
            key, key_low = _rows(K, K_LOW, columns, M, D, BLOCK_D, SPLIT)
            tile = _similarities(z, z_low, key, key_low, SPLIT) * scale
            label = tl.load(KEY_LABEL + columns, mask=columns < M, other=-1)
            weight = tl.exp2(tile - l_row[:, None]) * a_row[:, None]
            weight += tl.where(own[:, None] == label[None, :], h_row[:, None], 0.0)
            weight = tl.where((label >= 0)[None, :], weight, 0.0)
            total = _add_weighted_rows(total, weight, key, key_low, SPLIT)
    d = tl.arange(0, BLOCK_D)
    total = total * (inverse * tl.load(UNIT))
    place = start * D + rows[:, None] * D + d[None, :]
    tl.store(OUT + place, total, mask=inside[:, None] & (d < D)[None, :])


@triton.jit
def keys_kernel(
    X, X_LOW, LABEL, K, K_LOW, KEY_LABEL, LOG_DEN, BY_DEN, BY_POSITIVE, UNIT, OUT,
    R, M, scale, log2_gamma, inverse,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SPLIT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Gradient by BLOCK_M keys: the R = G N rows of all sets pass by."""
    keys = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    k, k_low = _rows(K, K_LOW, keys, M, D, BLOCK_D, SPLIT)
    label = tl.load(KEY_LABEL + keys, mask=keys < M, other=-1)
    total = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    for first in range(0, R, BLOCK_N):
        rows = first + tl.arange(0, BLOCK_N)
        inside = rows < R
        z, z_low = _rows(X, X_LOW, rows, R, D, BLOCK_D, SPLIT)
        tile = _similarities(k, k_low, z, z_low, SPLIT) * scale
        own = tl.load(LABEL + rows, mask=inside, other=-2)
        a = tl.load(BY_DEN + rows, mask=inside, other=0.0)
        h = tl.load(BY_POSITIVE + rows, mask=inside, other=0.0)
        # +inf beyond the end: 2^-inf = 0, whatever the product.
        l_row = tl.load(LOG_DEN + rows, mask=inside, other=float('inf')) - log2_gamma
        weight = tl.exp2(tile - l_row[None, :]) * a[None, :]
        weight += tl.where(label[:, None] == own[None, :], h[None, :], 0.0)
        # Of a key in no contrast set nothing bounds the exponential.
        weight = tl.where((label >= 0)[:, None], weight, 0.0)
        total = _add_weighted_rows(total, weight, z, z_low, SPLIT)
    d = tl.arange(0, BLOCK_D)
    total = total * (inverse * tl.load(UNIT))
    place = keys[:, None] * D + d[None, :]
    tl.store(OUT + place, total, mask=(keys < M)[:, None] & (d < D)[None, :])


@triton.jit
def logits_kernel(
    LOGITS, LABEL, LOG_DEN, BY_DEN, BY_TARGET, OUT, R, C, smoothing,
    SMOOTH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Gradient by a tile of logits: a_i softmax share + b_i target; b_i = ``BY_TARGET``."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = rows < R
    is_class = inside[:, None] & (c < C)[None, :]
    place = rows[:, None].to(tl.int64) * C + c[None, :]
    logits = tl.load(LOGITS + place, mask=is_class, other=0.0).to(tl.float32) * _LOG2_E
    log_den = tl.load(LOG_DEN + rows, mask=inside, other=0.0)
    a = tl.load(BY_DEN + rows, mask=inside, other=0.0)
    b = tl.load(BY_TARGET + rows, mask=inside, other=0.0)
    own = tl.load(LABEL + rows, mask=inside, other=-2)
    share = tl.exp2(logits - log_den[:, None])
    is_own = c[None, :] == own[:, None]
    if SMOOTH:
        target = tl.where(is_own, 1.0 - smoothing, smoothing / (C - 1))
    else:
        target = tl.where(is_own, 1.0, 0.0)
    tl.store(OUT + place, a[:, None] * share + b[:, None] * target, mask=is_class)
