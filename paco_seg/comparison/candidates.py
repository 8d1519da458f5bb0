"""The settings that a comparison tries for a system: first its own, then the learning rates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from paco_seg.engine.systems import TrainingSystem

NUMBER = 4  # at most, for a system that trains
RATES = (0.3, 3.0)  # factors of the learning rate that the config has, beside 1


@dataclass(frozen=True)
class Candidate:
    """Settings to try.

    Args:
        settings: of the system.
        rate: factor of the learning rate of the config.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    rate: float = 1.0

    @property
    def label(self) -> str:
        """Short name, for folders."""
        rate = [] if self.rate == 1.0 else [f'lr-x{self.rate:g}']
        own = [f'{key.rsplit(".", 1)[-1]}-{value}' for key, value in self.settings.items()]
        return '_'.join([*own, *rate]).replace('/', '-').replace(' ', '') or 'defaults'

    @property
    def text(self) -> str:
        """The settings in words, for tables."""
        own = [f'{key} {value}' for key, value in self.settings.items()]
        rate = [] if self.rate == 1.0 else [f'{self.rate:g} x learning rate']
        return ', '.join([*own, *rate]) or 'defaults'


def candidates_of(system: TrainingSystem, *, has_rate: bool) -> list[Candidate]:
    """Return what is tried for a system first, at the learning rate of the config.

    Args:
        system: any. One that only changes the test costs nothing and tries all of its values.
        has_rate: whether the config has one learning rate to multiply, which
            :func:`at_other_rates` does then.
    """
    own: list[dict[str, Any]] = [
        dict(zip(system.search, values, strict=True))
        for values in itertools.product(*system.search.values())
    ]
    if system.trains:
        own = spread(own, NUMBER - len(RATES) if has_rate else NUMBER)
    return [Candidate(settings) for settings in own]


def at_other_rates(candidate: Candidate) -> list[Candidate]:
    """Return the best of the first candidates at the other learning rates.

    They are the same for every system: a short search likes large rates, and a baseline that alone
    may try one would gain by it.
    """
    return [replace(candidate, rate=rate) for rate in RATES]


def number_of_candidates(system: TrainingSystem, *, has_rate: bool) -> int:
    """Return how many are tried for a system; 0 where there is nothing to choose."""
    number = len(candidates_of(system, has_rate=has_rate))
    if system.trains and has_rate:
        number += len(RATES)
    return number if number > 1 else 0


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """Return at most ``number`` items, the first and the last among them."""
    if len(items) <= number or number < 2:
        return list(items[: max(number, 0)])
    return [items[round(index * (len(items) - 1) / (number - 1))] for index in range(number)]
