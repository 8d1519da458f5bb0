"""The whole per-anchor loss in a few GPU kernels: what runs when, and the operators around them.

The kernels are in :mod:`paco_seg.core.fused_kernels`; importing this module does not import
Triton. PyTorch sees two opaque operators, so autograd, ``torch.compile`` and shape inference need
no Triton either. Memory beside input and gradients: O(G N) row statistics.

Precision follows PyTorch's own setting for products, ``torch.set_float32_matmul_precision``:

======================  ===========================================================================
rows and keys           products (always accumulated in float32; everything else is float32)
======================  ===========================================================================
float32, 'highest'      'bf16x3': each operand is the sum of two bfloat16, three products of four
float32, 'high' or      'tf32': operands rounded to the nearest tf32 before the product, as
'medium'                cuBLAS does
float16 or bfloat16     'half': the rows as they are, hence exact similarities; in backward the
                        weights of the rows are rounded to the dtype of the gradient
======================  ===========================================================================

What bounds the errors without a measurement on a device: the products of bfloat16, float16 and
rounded tf32 operands are exact in float32, so a device differs from Triton's interpreter, which
takes the same rounded operands, by the order of float32 sums and the last bits of exp2 and log2
alone. The tests hold the interpreter to float64: see ``TOLERANCE`` in the tests of this module.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:  # contrast and paco choose between the implementations and import this module
    from paco_seg.core.contrast import ContrastRows
    from paco_seg.core.paco import PaCoSettings

# Rows of a tile are read as a whole.
MAX_CHANNELS = 256
# The first devices with bfloat16 and tf32 tensor cores and asynchronous copies (Ampere).
MIN_CAPABILITY = (8, 0)
_HALVES = (torch.float16, torch.bfloat16)
# Weights of float16 rows are at most 4 in units of the largest gradient; in sums over thousands
# of rows most are near 1e-4 and would leave the normal range of float16 (6e-5) without a factor.
_HALF_FACTOR = 1024.0
_LOGIT_ROWS, _LOGIT_CLASSES = 32, 64


PAIR_KERNELS = ('forward', 'rows', 'keys')


class Tile(NamedTuple):
    """Rows and columns of a tile, and how Triton is to run it."""

    rows: int
    columns: int
    warps: int
    stages: int


# Of the pair kernels, for D <= 128 and D <= 256. Ahead-of-time compilation for sm_80 and sm_90
# spills no registers at D = 128 and stays within the 99 KiB of shared memory that every device
# from 8.0 on has (the tests repeat it).
TILES = {
    'half': dict.fromkeys(PAIR_KERNELS, (Tile(128, 32, 8, 3), Tile(64, 32, 8, 2))),
    'tf32': dict.fromkeys(PAIR_KERNELS, (Tile(128, 32, 8, 2), Tile(32, 16, 4, 2))),
    'bf16x3': dict.fromkeys(PAIR_KERNELS, (Tile(128, 32, 8, 2), Tile(32, 16, 4, 2))),
}
# Measured on an H100 (benchmarks/tune_tiles.py), which has 227 KiB of shared memory.
HOPPER = (9, 0)
HOPPER_TILES = {
    'half': {
        'forward': (Tile(128, 32, 4, 3), TILES['half']['forward'][1]),
        'rows': (Tile(64, 128, 4, 2), TILES['half']['rows'][1]),
        'keys': (Tile(64, 128, 4, 2), TILES['half']['keys'][1]),
    },
    'tf32': {
        'forward': (Tile(64, 32, 4, 3), TILES['tf32']['forward'][1]),
        'rows': (Tile(128, 64, 8, 2), TILES['tf32']['rows'][1]),
        'keys': (Tile(64, 64, 4, 2), TILES['tf32']['keys'][1]),
    },
    'bf16x3': {
        'forward': (Tile(64, 32, 4, 3), TILES['bf16x3']['forward'][1]),
        'rows': (Tile(128, 64, 8, 2), TILES['bf16x3']['rows'][1]),
        'keys': (Tile(64, 64, 4, 3), TILES['bf16x3']['keys'][1]),
    },
}


def per_anchor(rows: ContrastRows, logits: Tensor, settings: PaCoSettings) -> Tensor:
    """Return the loss of every row, the equation of ``parametric_contrastive_loss``.

    Equals the dense form for rows with a class; of a row with the class index C the value is
    finite and has no meaning, and the caller replaces it (then no gradient comes back either).

    Args:
        rows: G sets of N rows and M keys, all float32, all float16 or all bfloat16.
        logits: (G, N, C) float32 adjusted center logits.
        settings: with a number for alpha.

    Returns:
        (G, N) float32. It can be differentiated once.
    """
    sets, anchors, _ = rows.embeddings.shape
    if sets * anchors == 0:
        return rows.embeddings.sum(dim=-1).float() + logits.sum(dim=-1)
    label = rows.class_index.int()
    column = label
    if rows.contrasted is not None:
        column = label.masked_fill(~rows.contrasted, -1)
    key_label = rows.key_index.int()
    if rows.key_contrasted is not None:
        key_label = key_label.masked_fill(~rows.key_contrasted, -1)
    base = settings.base_temperature
    numbers = (
        settings.alpha,
        settings.beta,
        settings.gamma,
        settings.temperature,
        1.0 if base is None else settings.temperature / base,
        settings.label_smoothing,
    )
    # Eager code does without the operator, whose dispatch takes the host longer than the launches.
    run = _per_anchor_operator if torch.compiler.is_compiling() else _EagerLoss.apply
    value: Tensor = run(
        rows.embeddings.contiguous(),
        label,
        column,
        rows.keys.contiguous(),
        key_label,
        logits.contiguous(),
        [float(number) for number in numbers],
        product_precision(rows.embeddings.dtype),
    )
    return value


def product_dtype(embeddings: Tensor, keys: Tensor) -> torch.dtype:
    """Return the dtype that holds both without rounding: that of the products."""
    if embeddings.dtype in _HALVES and (len(keys) == 0 or keys.dtype == embeddings.dtype):
        return embeddings.dtype
    return torch.promote_types(torch.float32, embeddings.dtype)


def product_precision(dtype: torch.dtype) -> str:
    """Name the precision of the products: 'half', or what PyTorch is set to for float32."""
    return 'half' if dtype in _HALVES else _float32_precision()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _float32_precision() -> str:
    return 'bf16x3' if torch.get_float32_matmul_precision() == 'highest' else 'tf32'


def reason_against(embeddings: Tensor, row_dtype: torch.dtype) -> str | None:
    """Tell why the kernels cannot run on such rows, as the end of ``impl: expected ...``.

    Args:
        embeddings: (..., D), any dtype.
        row_dtype: of the products, :func:`product_dtype`; float64 if any input is float64.

    Returns:
        None where they can.
    """
    if row_dtype == torch.float64:
        return "float32, float16 or bfloat16 input for 'triton', got float64"
    channels, device = embeddings.shape[-1], embeddings.device
    if channels > MAX_CHANNELS:
        return f"at most {MAX_CHANNELS} channels for 'triton', got {channels}"
    reason: str | None = _device_reason(device.type, device.index, row_dtype, channels)
    return reason


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _device_reason(
    kind: str, index: int | None, row_dtype: torch.dtype, channels: int
) -> str | None:
    """Tell why a device cannot run the kernels, in a compiled graph once and for all."""
    return _find_device_reason(kind, index) or _find_kernel_reason(
        kind, index, row_dtype, product_precision(row_dtype), channels
    )


@functools.cache
def _find_device_reason(kind: str, index: int | None) -> str | None:
    """Tell why no kernel can run on a device; the second half of the answer is in the kernels."""
    try:
        from paco_seg.core import fused_kernels
    except ImportError as error:
        return f"an installed Triton for 'triton', got {error}"
    if fused_kernels.INTERPRETED:
        return None
    if kind != 'cuda':
        return (
            "a CUDA device for 'triton' (or Triton's interpreter, TRITON_INTERPRET=1), got a "
            f'tensor on {kind!r}'
        )
    if torch.version.hip is not None:
        return "an NVIDIA device for 'triton', got one of AMD, on which it was never tried"
    device = torch.device(kind, index or 0)
    capability = torch.cuda.get_device_capability(device)
    if capability < MIN_CAPABILITY:
        return (
            f"compute capability {MIN_CAPABILITY[0]}.{MIN_CAPABILITY[1]} or newer for 'triton', "
            f'got {capability[0]}.{capability[1]} ({torch.cuda.get_device_name(device)})'
        )
    return None


@functools.cache
def _find_kernel_reason(
    kind: str, index: int | None, row_dtype: torch.dtype, precision: str, channels: int
) -> str | None:
    """Tell why the kernels for such rows cannot run; found once by running them on a few.

    Triton may need a C compiler for its launcher, knows only the chips of its time, and finds out
    at the first launch whether a tile fits the shared memory of the chip.
    """
    if kind != 'cuda':  # the interpreter runs everything
        return None
    try:
        _run_few_rows(torch.device(kind, index or 0), row_dtype, precision, channels)
    except torch.OutOfMemoryError:
        raise  # of this moment, which is not remembered
    except Exception as error:
        return f"kernels that compile and run for 'triton', got {type(error).__name__}: {error}"
    return None


def _run_few_rows(
    device: torch.device, row_dtype: torch.dtype, precision: str, channels: int
) -> None:
    """Launch every kernel on 16 rows and 16 keys, which Triton specialises like larger numbers."""
    rows = torch.zeros(1, 16, channels, dtype=row_dtype, device=device)
    label = torch.zeros(1, 16, dtype=torch.int32, device=device)
    logits = torch.zeros(1, 16, 16, device=device)
    inputs = (rows, label, label, rows[0], label[0], logits)
    settings = ([1.0, 1.0, 1.0, 1.0, 1.0, 0.0], precision)
    with torch.no_grad():
        value, log_den, count = _run_forward(*inputs, *settings)
        _run_backward(value, log_den, count, *inputs, *settings, True, True, True)


def _run_forward(
    embeddings: Tensor,
    label: Tensor,
    column: Tensor,
    keys: Tensor,
    key_label: Tensor,
    logits: Tensor,
    numbers: list[float],
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, binary log denominator and number of positives of every row, each (G, N) float32.

    ``label`` (G, N) int32 are the classes of the rows, ``column`` and ``key_label`` the same with
    -1 where a row or key is no contrast; ``numbers`` are alpha, beta, gamma, T, T / T_base and the
    label smoothing.
    """
    from paco_seg.core import fused_kernels

    alpha, beta, gamma, temperature, factor, smoothing = numbers
    sets, anchors, channels = embeddings.shape
    tile = tile_of('forward', precision, channels, embeddings.device)
    value, log_den, count = (
        torch.empty(sets, anchors, dtype=torch.float32, device=embeddings.device) for _ in range(3)
    )
    high, low = _operands(embeddings, precision)
    key_high, key_low = _operands(keys, precision)
    with _device_of(embeddings):
        fused_kernels.forward_kernel[(-(-anchors // tile.rows), sets)](
            high,
            low,
            label,
            column,
            key_high,
            key_low,
            key_label,
            logits,
            log_den,
            count,
            value,
            anchors,
            len(keys),
            logits.shape[-1],
            math.log2(math.e) / temperature,
            _log2(gamma),
            alpha,
            beta,
            smoothing,
            factor,
            SMOOTH=smoothing > 0,
            HAS_KEYS=len(keys) > 0,
            BLOCK_C=32,
            **_meta(tile, channels, precision),
        )
    return value, log_den, count


_forward = torch.library.custom_op('paco_seg::fused_loss', _run_forward, mutates_args=())


@_forward.register_fake
def _(embeddings: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    value, log_den, count = (
        embeddings.new_empty(embeddings.shape[:2], dtype=torch.float32) for _ in range(3)
    )
    return value, log_den, count


def _run_backward(
    grad: Tensor,
    log_den: Tensor,
    count: Tensor,
    embeddings: Tensor,
    label: Tensor,
    column: Tensor,
    keys: Tensor,
    key_label: Tensor,
    logits: Tensor,
    numbers: list[float],
    precision: str,
    need_rows: bool,
    need_keys: bool,
    need_logits: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by embeddings, keys and logits; an empty tensor for what is not needed."""
    from paco_seg.core import fused_kernels

    alpha, beta, gamma, temperature, factor, smoothing = numbers
    sets, anchors, channels = embeddings.shape
    by_den, weight = grad * factor, alpha * count + beta
    if beta == 0:  # else every anchor has a weight
        by_den = by_den.masked_fill(weight <= 0, 0.0)
        weight = weight.masked_fill(weight <= 0, 1.0)
    # By one unit of weight, with the sign of what the loss subtracts.
    per_weight = by_den / weight
    by_target, by_positive = per_weight * -beta, per_weight * -alpha

    logits_grad = logits.new_empty(logits.shape if need_logits else 0)
    if need_logits:
        with _device_of(embeddings):
            _launch_logits(logits, label, log_den, by_den, by_target, smoothing, logits_grad)

    unit, half_factor = torch.ones(1, device=grad.device), 1.0
    if embeddings.dtype == torch.float16:
        # Gradients of a mean are far below float16's range; their largest becomes 1.
        unit = by_den.abs().amax().clamp(min=torch.finfo(torch.float32).tiny).view(1)
        half_factor = _HALF_FACTOR
        by_den, by_positive = (part / unit * half_factor for part in (by_den, by_positive))
    high, low = _operands(embeddings, precision)
    key_high, key_low = _operands(keys, precision)
    scale, inverse = math.log2(math.e) / temperature, 1.0 / (temperature * half_factor)

    rows_grad = embeddings.new_empty(embeddings.shape if need_rows else 0)
    keys_grad = keys.new_empty(keys.shape if need_keys else 0)
    with _device_of(embeddings):
        if need_rows:
            tile = tile_of('rows', precision, channels, embeddings.device)
            fused_kernels.rows_kernel[(-(-anchors // tile.rows), sets)](
                high,
                low,
                label,
                column,
                key_high,
                key_low,
                key_label,
                log_den,
                by_den,
                by_positive,
                unit,
                rows_grad,
                anchors,
                len(keys),
                scale,
                _log2(gamma),
                inverse,
                HAS_KEYS=len(keys) > 0,
                **_meta(tile, channels, precision),
            )
        if need_keys and len(keys):
            tile = tile_of('keys', precision, channels, embeddings.device)
            fused_kernels.keys_kernel[(-(-len(keys) // tile.rows),)](
                high,
                low,
                label,
                key_high,
                key_low,
                key_label,
                log_den,
                by_den,
                by_positive,
                unit,
                keys_grad,
                sets * anchors,
                len(keys),
                scale,
                _log2(gamma),
                inverse,
                **_meta(tile, channels, precision),
            )
    return rows_grad, keys_grad, logits_grad


_backward = torch.library.custom_op('paco_seg::fused_loss_backward', _run_backward, mutates_args=())


@_backward.register_fake
def _(
    grad: Tensor,
    log_den: Tensor,
    count: Tensor,
    embeddings: Tensor,
    label: Tensor,
    column: Tensor,
    keys: Tensor,
    key_label: Tensor,
    logits: Tensor,
    *arguments: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, key_rows, classes = (
        like.new_empty(like.shape if need else 0)
        for like, need in zip((embeddings, keys, logits), arguments[-3:], strict=True)
    )
    return rows, key_rows, classes


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Save the input and the row statistics."""
    _, log_den, count = output
    ctx.save_for_backward(log_den, count, *inputs[:6])
    ctx.settings = inputs[6:]


def _differentiate(run: Callable[..., Any], ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the loss, by the operator or by what it runs."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "impl: expected 'dense' for second derivatives (create_graph=True), got "
            "'triton', which can be differentiated once. Set impl='dense'"
        )
    needs = ctx.needs_input_grad
    need = (needs[0], needs[3], needs[5])
    rows, keys, logits = run(grad.contiguous(), *ctx.saved_tensors, *ctx.settings, *need)
    return (
        rows if need[0] else None,
        None,
        None,
        keys if need[1] else None,
        None,
        logits if need[2] else None,
        *(None,) * len(ctx.settings),
    )


# The statistics are no result that anybody differentiates.
_forward.register_autograd(
    lambda ctx, grad, *_: _differentiate(_backward, ctx, grad), setup_context=_keep
)


def _per_anchor_operator(*inputs: Any) -> Tensor:
    value: Tensor = _forward(*inputs)[0]
    return value


class _EagerLoss(torch.autograd.Function):
    """The operators without PyTorch's dispatcher."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _run_forward(*inputs)
        _keep(ctx, inputs, output)
        return output[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _differentiate(_run_backward, ctx, *grads)


def _launch_logits(
    logits: Tensor,
    label: Tensor,
    log_den: Tensor,
    by_den: Tensor,
    by_target: Tensor,
    smoothing: float,
    out: Tensor,
) -> None:
    """Write the gradient by logits (..., C) to ``out``."""
    from paco_seg.core import fused_kernels

    count, classes = label.numel(), logits.shape[-1]
    fused_kernels.logits_kernel[(-(-count // _LOGIT_ROWS), -(-classes // _LOGIT_CLASSES))](
        logits,
        label,
        log_den,
        by_den,
        by_target,
        out,
        count,
        classes,
        smoothing,
        SMOOTH=smoothing > 0,
        BLOCK_M=_LOGIT_ROWS,
        BLOCK_C=_LOGIT_CLASSES,
        num_warps=4,
    )


def _device_of(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Make the device of a tensor the one on which Triton launches."""
    if tensor.device.type == 'cuda':
        return torch.cuda.device(tensor.device)
    return contextlib.nullcontext()


def _operands(rows: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Return what the tensor cores multiply: high part and, under 'bf16x3', low part."""
    if precision == 'bf16x3':
        high = rows.bfloat16()
        return high, (rows - high).bfloat16()
    if precision == 'tf32':
        # To the nearest number of 10 mantissa bits, ties away from zero.
        rows = ((rows.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)
    return rows, rows


def tile_of(kernel: str, precision: str, channels: int, device: torch.device) -> Tile:
    """Return the tile of a pair kernel: measured on the chip, or one that every chip can run."""
    hopper = device.type == 'cuda' and _capability(device.index or 0) == HOPPER
    tiles = HOPPER_TILES if hopper else TILES
    return tiles[precision][kernel][0 if channels <= 128 else 1]


@functools.cache
def _capability(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)


def _meta(tile: Tile, channels: int, precision: str) -> dict[str, Any]:
    """Constants of the pair kernels."""
    return {
        'D': channels,
        # tl.dot wants at least 16.
        'BLOCK_D': max(16, 1 << (channels - 1).bit_length()),
        'SPLIT': precision == 'bf16x3',
        'BLOCK_M': tile.rows,
        'BLOCK_N': tile.columns,
        'num_warps': tile.warps,
        'num_stages': tile.stages,
    }


def _log2(gamma: float) -> float:
    return math.log2(gamma) if gamma > 0 else -math.inf
