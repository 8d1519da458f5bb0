"""What a comparison will take: hours and disk, from some timed steps of the baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from paco_seg.comparison.budget import VALIDATIONS
from paco_seg.comparison.collect import scalar_log
from paco_seg.engine.systems import TrainingSystem

STEPS = 6  # of the trial; the first two warm up
_WARM_UP = 2
START_SECONDS = 10.0  # of a process until its first step
OTHERS = 1.3  # a step of any system but the baseline: its loss comes on top
# Weights, label maps and logs of a cell, relative to the weights.
_BESIDE_WEIGHTS = 1.1


@dataclass(frozen=True)
class Trial:
    """What the timed steps say.

    Args:
        step: seconds per training iteration.
        sample: seconds per evaluated sample.
        weights: bytes of a checkpoint without the state of the optimizer.
    """

    step: float
    sample: float
    weights: int


def collect_trial(folder: Path) -> dict:
    """Return the timing of a trial, as :class:`Trial` takes it; removes the weights."""
    rows = scalar_log(folder)
    steps = [row['time'] for row in rows if 'loss' in row]
    evaluated = [row['time'] for row in rows if 'loss' not in row and 'time' in row]
    weights = folder / 'final.pth'
    size = weights.stat().st_size
    weights.unlink()
    return dict(
        step=median(steps[_WARM_UP:] or steps),
        batch=evaluated[-1] if evaluated else 0.0,
        weights=size,
        **json.loads((folder / 'command-0.json').read_text()),
    )


def trial_of(result: Mapping[str, Any], batch_size: int) -> Trial:
    """Return the trial of a collected result, given the batch size of the evaluation."""
    return Trial(result['step'], result['batch'] / max(batch_size, 1), result['weights'])


@dataclass(frozen=True)
class Load:
    """The work of one system.

    Args:
        factor: of its steps, relative to the baseline's.
        searches: number of its search trainings, or search tests.
        finals: number of its final trainings, or tests.
        trains: whether these are trainings.
    """

    factor: float
    searches: int
    finals: int
    trains: bool = True


def load_of(system: TrainingSystem, *, is_baseline: bool, searches: int, finals: int) -> Load:
    """Return the work of a system; its steps cost by what it needs."""
    factor = 1.0 if is_baseline else OTHERS
    factor *= system.needs.views  # every view passes the model
    return Load(factor, searches, finals, system.trains)


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes of a comparison.

    Args:
        trial: timing.
        loads: the systems.
        search_samples: size of the data that choose.
        test_samples: size of the data that are reported.
        search_share: length of a search training relative to a final one; 0 without a search.
        validations: of a final training; a search has one.
    """

    trial: Trial
    loads: Sequence[Load]
    search_samples: int
    test_samples: int
    search_share: float
    validations: int = VALIDATIONS

    def seconds(self, iters: int, workers: int = 1) -> float:
        """Return the duration with final trainings of so many iterations.

        More workers than there are cells at a time do not shorten a search and the training that
        waits for it.
        """
        shared = (self.fixed_seconds + iters * self.seconds_per_iteration) / workers
        alone = map(self._single, self.loads)
        return max(
            shared, *(one.fixed_seconds + iters * one.seconds_per_iteration for one in alone)
        )

    def _single(self, load: Load) -> Estimate:
        """Return the estimate of one search and one final training, which wait for each other."""
        one = replace(load, searches=min(load.searches, 1), finals=min(load.finals, 1))
        return replace(self, loads=[one])

    @property
    def seconds_per_iteration(self) -> float:
        """Seconds that one more iteration of the final trainings costs in total."""
        return self.trial.step * sum(
            load.factor * (load.searches * self.search_share + load.finals)
            for load in self.loads
            if load.trains
        )

    @property
    def fixed_seconds(self) -> float:
        """Seconds of starts, validations and tests."""
        validation = self.search_samples * self.trial.sample
        test = self.test_samples * self.trial.sample + START_SECONDS
        total = 0.0
        for load in self.loads:
            final = self.validations * validation + START_SECONDS if load.trains else 0.0
            total += load.searches * (validation + START_SECONDS) + load.finals * (final + test)
        return total

    def iters_in(self, hours: float, workers: int = 1) -> int:
        """Return the iterations that fit into so many hours.

        Raises:
            ValueError: not even the starts, validations and tests do; names ``--hours``.
        """
        left = hours * 3600 * workers - self.fixed_seconds
        fitting = [left / self.seconds_per_iteration]
        for single in map(self._single, self.loads):  # however many workers there are
            if single.seconds_per_iteration:
                fitting.append((hours * 3600 - single.fixed_seconds) / single.seconds_per_iteration)
        iters = int(min(fitting))
        if iters < 1:
            least = self.seconds(10, workers) / 3600
            raise ValueError(
                f'--hours: expected at least {least:.2g} hours for these systems and seeds, got '
                f'{hours:g}. Give more time, or compare fewer systems or seeds'
            )
        return iters

    @property
    def bytes(self) -> int:
        """Disk that the results will take."""
        return self.bytes_beside(0)

    def bytes_beside(self, trained: int) -> int:
        """Return the disk that the results will take beside so many finished final trainings."""
        finals = sum(load.finals for load in self.loads if load.trains)
        return int((finals - trained + 1) * self.trial.weights * _BESIDE_WEIGHTS)
