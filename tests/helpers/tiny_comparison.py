"""A comparison of the tools with a budget of two iterations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from paco_seg.engine.experiment import Method

ROOT = Path(__file__).parents[2]
TINY = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'param_scheduler.0.end': 1,
    'param_scheduler.1.begin': 1,
    'param_scheduler.1.end': 2,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.logger.interval': 1,
    'train_dataloader.batch_size': 4,
}


def first_candidates(methods: Iterable[Method]) -> list[Method]:
    """The methods with their configs by absolute path and the first value of each search."""
    return [
        replace(
            method,
            config=str(ROOT / method.config),
            search={key: values[:1] for key, values in method.search.items()},
        )
        for method in methods
    ]
