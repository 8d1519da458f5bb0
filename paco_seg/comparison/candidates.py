"""The settings that a comparison tries for a system: as many for every one that trains."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paco_seg.engine.systems import TrainingSystem

NUMBER = 4  # for every system that trains
# Factors of the learning rate that the config has, in the order in which they are taken.
RATES = (1.0, 0.3, 3.0, 0.1)


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
    """Return what is tried for a system.

    Systems that train get :data:`NUMBER` candidates each, so that none looks better for having had
    more tries: one with settings of its own tries two of them at two learning rates, one without
    four rates. A system that only changes the test costs nothing and tries all of its values.

    Args:
        system: any.
        has_rate: whether the config has one learning rate to multiply.

    Returns:
        One if there is nothing to choose.
    """
    own: list[dict[str, Any]] = [
        dict(zip(system.search, values, strict=True))
        for values in itertools.product(*system.search.values())
    ]
    if not system.trains:
        return [Candidate(settings) for settings in own]
    if not has_rate:
        return [Candidate(settings) for settings in spread(own, NUMBER)]
    settings_tried = spread(own, NUMBER if len(own) >= NUMBER else min(len(own), 2))
    rates = RATES[: NUMBER // len(settings_tried)]
    return [Candidate(settings, rate) for settings in settings_tried for rate in rates]


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """Return at most ``number`` items, the first and the last among them."""
    if len(items) <= number or number < 2:
        return list(items[: max(number, 0)])
    return [items[round(index * (len(items) - 1) / (number - 1))] for index in range(number)]
