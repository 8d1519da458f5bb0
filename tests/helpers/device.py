"""The device that the suites run on: a pretended GPU, or with ``REAL_DEVICE=1`` the GPU there is.

On a real one PyTorch itself reports what the host waits for
(``torch.cuda.set_sync_debug_mode('warn')``), so that the same suites say whether the pretended one
counts right.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from helpers import pretended_cuda
from torch.utils._pytree import tree_map_only

REAL = os.environ.get('REAL_DEVICE') == '1'
NAME = 'cuda' if REAL else pretended_cuda.NAME


@contextlib.contextmanager
def _real_cuda() -> Iterator[pretended_cuda.Trace]:
    """Run operations on the GPU; yields what the host waited for."""
    trace = pretended_cuda.Trace()
    before = torch.get_float32_matmul_precision()

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        if 'synchronizing CUDA operation' in str(message):
            trace.waits[f'wait {pretended_cuda.place()}'] += 1

    # Backward in this thread: its stack then says who asked.
    with warnings.catch_warnings(), torch.autograd.set_multithreading_enabled(False):
        warnings.simplefilter('always')
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield trace
        finally:
            torch.cuda.set_sync_debug_mode('default')
            torch.set_float32_matmul_precision(before)


def _to_cuda(value: Any) -> Any:
    """Copy tensors to the GPU, also in lists, tuples and dicts; change a module in place."""
    if isinstance(value, torch.nn.Module):
        return value.cuda()
    return tree_map_only(
        torch.Tensor, lambda t: t.detach().cuda().requires_grad_(t.requires_grad), value
    )


on_device = _real_cuda if REAL else pretended_cuda.pretended_cuda
to_device = _to_cuda if REAL else pretended_cuda.to_device
