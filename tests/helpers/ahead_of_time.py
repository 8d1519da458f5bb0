"""Compile the kernels of :mod:`paco_seg.core.fused_kernels` for a chip that is not there."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from paco_seg.core import fused, fused_kernels

TOOLS = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin'
POINTERS = {torch.float32: '*fp32', torch.float16: '*fp16', torch.bfloat16: '*bf16'}
INTEGERS = ('N', 'M', 'C', 'R')
LABELS = ('LABEL', 'COLUMN', 'KEY_LABEL')
OPERANDS = ('X', 'X_LOW', 'K', 'K_LOW')


class Usage(NamedTuple):
    """What a compiled kernel takes of its chip."""

    registers: int  # per thread
    stack: int  # bytes per thread, where spilled registers go
    shared: int  # bytes per block of threads


def compile_kernel(
    kernel: Any, capability: int, precision: str, dtype: torch.dtype, channels: int, **flags: Any
) -> Any:
    """Compile as :mod:`paco_seg.core.fused` would launch it on rows of ``dtype``."""
    tiles = fused.HOPPER_TILES if capability == 90 else fused.TILES
    of_kernel = tiles[precision].get(kernel.__name__.removesuffix('_kernel'))
    # The kernel of the logits has no tile; the constants of any are replaced below.
    tile = (of_kernel or tiles[precision]['rows'])[0 if channels <= 128 else 1]
    constants = fused._meta(tile, channels, precision) | flags
    options = {name: constants.pop(name) for name in ('num_warps', 'num_stages')}
    rows = POINTERS[torch.bfloat16 if precision == 'bf16x3' else dtype]
    if kernel is fused_kernels.logits_kernel:
        constants = dict(SMOOTH=True, BLOCK_M=fused._LOGIT_ROWS, BLOCK_C=fused._LOGIT_CLASSES)

    def kind(name: str) -> str:
        if name in constants:
            return 'constexpr'
        if name in OPERANDS:
            return rows
        if name == 'OUT' and kernel is not fused_kernels.logits_kernel:
            return POINTERS[dtype]
        if name in LABELS:
            return '*i32'
        if name in INTEGERS:
            return 'i32'
        return '*fp32' if name.isupper() else 'fp32'

    names = kernel.arg_names
    signature = {name: kind(name) for name in names}
    divisible = {
        (place,): [['tt.divisibility', 16]]
        for place, name in enumerate(names)
        if signature[name].startswith('*') or name in ('N', 'R')
    }
    source = ASTSource(kernel, signature, {n: constants[n] for n in constants}, divisible)
    return triton.compile(source, target=GPUTarget('cuda', capability, 32), options=options)


def usage(compiled: Any) -> Usage:
    """Read it from the binary."""
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(compiled.asm['cubin'])
        file.flush()
        text = subprocess.run(
            [TOOLS / 'cuobjdump', '-res-usage', file.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    registers, stack = (int(re.search(rf'{name}:(\d+)', text)[1]) for name in ('REG', 'STACK'))
    return Usage(registers, stack, compiled.metadata.shared)
