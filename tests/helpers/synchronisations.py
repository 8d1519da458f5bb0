"""How often the host waits for the device in a training step of each system.

The suites of ``seg`` and ``cls`` count on a pretended GPU and hold the committed numbers to it;
``WRITE_SYNCHRONISATIONS=1 pytest tests/seg/pretended_suite.py`` writes them anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import torch
from helpers.device import NAME
from helpers.pretended_cuda import Trace

from paco_seg.files import write_json

FILE = Path(__file__).parents[2] / 'benchmarks' / 'results' / 'synchronisations.json'
PRECISIONS = {'float32': None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


def autocast(precision: str) -> contextlib.AbstractContextManager:
    """The context of a step in mixed precision."""
    dtype = PRECISIONS[precision]
    return contextlib.nullcontext() if dtype is None else torch.autocast(NAME, dtype=dtype)


class Losses:
    """``model.loss(*arguments)`` on the device, with the trace of the device."""

    def __init__(self, trace: Trace, model: torch.nn.Module, *arguments: object) -> None:
        self.trace = trace
        self.model = model
        self._arguments = arguments

    def __call__(self) -> dict:
        return self.model.loss(*self._arguments)


def train(losses: Losses, precision: str, steps: int = 2) -> dict[str, object]:
    """Train a model that is on the device and say what its last step did.

    The first step may look at the device once and for all. Every loss is finite, and every
    parameter that takes gradients gets one.
    """
    trace, model = losses.trace, losses.model
    for _ in range(steps):
        trace.clear()
        with autocast(precision):
            found = losses()
        total = sum(value.sum() for value in _tensors(found))
        model.zero_grad()
        total.backward()
        own = trace.own_waits()
        counted = {'own': sum(own.values()), 'all': sum(trace.waits.values()), 'where': own}
    assert total.detach().to('cpu', copy=True).isfinite()
    counted['missing'] = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    return counted


def _tensors(losses: dict) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for name, value in losses.items():
        if 'loss' in name:
            found.extend(value if isinstance(value, list) else [value])
    return found


def check(task: str, counts: dict[str, dict[str, int]]) -> None:
    """Hold the committed counts of a task to what was counted, or write them."""
    committed = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get('WRITE_SYNCHRONISATIONS'):
        write_json(FILE, committed | {task: counts})
    else:
        assert committed[task] == counts
