"""Triton's interpreter with the bfloat16 arithmetic of a GPU.

The interpreter of Triton 3.9 keeps bfloat16 as the uint16 of its bits, multiplies tiles of them
as integers, and cuts float32 off where a device rounds to the nearest.
"""

from __future__ import annotations

import numpy as np
import triton.language as tl
import triton.runtime.interpreter as interpreter


def mend() -> None:
    """Replace products of bfloat16 tiles and conversions from and to it, for this process."""
    builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
    dot, cast = builder.create_dot, builder.cast_impl

    def create_dot(self, a, b, d, *arguments):
        a, b = (
            handle(_widen(t.data), tl.float32) if t.dtype.scalar == tl.bfloat16 else t
            for t in (a, b)
        )
        return dot(self, a, b, d, *arguments)

    def cast_impl(self, source, dtype):
        pair = (source.dtype.scalar, dtype.scalar)
        if pair == (tl.bfloat16, tl.float32):
            return handle(_widen(source.data), tl.float32)
        if pair == (tl.float32, tl.bfloat16):
            return handle(_round(source.data), tl.bfloat16)
        return cast(self, source, dtype)

    def create_fp_to_fp(self, source, dtype, rounding_mode):
        return cast_impl(self, source, dtype)

    builder.create_dot, builder.cast_impl = create_dot, cast_impl
    builder.create_fp_to_fp = create_fp_to_fp


def _widen(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _round(values: np.ndarray) -> np.ndarray:
    """To the nearest, ties to even, as cvt.rn.bf16.f32 does."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
