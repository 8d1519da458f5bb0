"""A suite with a budget of two iterations, one seed and one candidate per system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from paco_seg.cli.compare import choose
from paco_seg.comparison.study import System
from paco_seg.comparison.suite import Suite
from paco_seg.comparison.suites import SUITES

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


def first_candidates(systems: Iterable[System]) -> list[System]:
    """The systems with the first value of each search."""
    return [
        replace(system, search={key: values[:1] for key, values in system.search.items()})
        for system in systems
    ]


def tiny_suite(name: str, systems: Sequence[str] | None = None, **options: Any) -> Suite:
    """A suite, or some of its systems, with two iterations and searches of one."""
    suite = choose(SUITES[name], systems, seeds=1)
    shortened = [
        replace(system, search_options={}) if system.trains else system
        for system in first_candidates(suite.study.systems)
    ]
    study = replace(
        suite.study,
        systems=shortened,
        options={**TINY, **options},
        search_options={'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1},
    )
    return replace(suite, study=study)
