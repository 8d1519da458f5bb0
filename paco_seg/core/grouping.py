"""Groups of classes by a stated rule that leaves neither the frequent nor the rare ones empty.

Fixed thresholds fit the data set that they were made for. On another one every class may be above
both, and the mean over the rare classes, which the comparison is about, would not exist. Here the
first rule whose groups fit is taken, and the last one, by rank, always fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paco_seg.core.frequency import (
    GROUP_NAMES,
    GROUP_THRESHOLDS,
    SHOT_GROUPS,
    SHOT_THRESHOLDS,
    ClassFrequency,
    check_thresholds,
    group_classes,
)

RULES = ('images', 'pixels', 'shots', 'rank')
_FORM = 'auto, rank, or images, pixels or shots, alone or with thresholds as in images:0.1,0.01'


@dataclass(frozen=True)
class Grouping:
    """Three groups of classes and where they come from.

    Args:
        groups: name -> class indices by falling frequency; a class without training samples is in
            the last one.
        rule: the rule in words, with its numbers.
    """

    groups: dict[str, list[int]]
    rule: str

    @property
    def tail(self) -> list[int]:
        """The classes of the last group, by falling frequency."""
        return list(self.groups.values())[-1]

    @property
    def is_usable(self) -> bool:
        """Whether neither the first nor the last group is empty."""
        first, *_, last = self.groups.values()
        return bool(first and last)


def group_by_rule(frequency: ClassFrequency, rule: str = 'auto', key: str = '--groups') -> Grouping:
    """Group the classes by the rule that is asked for, or by the first one that fits.

    ``auto`` tries the thresholds by images, then by pixels; where only images were counted, in
    classification, the thresholds of many and few shots. If the first or the last group stays
    empty, the classes are cut into thirds by rank. Those have the counts of pixels where there are
    any.

    Args:
        frequency: of the training set.
        rule: ``auto``, ``rank``, or ``images``, ``pixels`` or ``shots`` with or without
            thresholds: ``images:0.1,0.01`` are shares, ``shots:100,20`` numbers of images.
        key: option to name in errors.

    Raises:
        ValueError: the rule is unknown, its thresholds are malformed, or there are no such counts.
    """
    name, _, text = rule.partition(':')
    if name == 'auto' and not text:
        tried = ('shots',) if frequency.pixels is None else ('images', 'pixels')
        for candidate in tried:
            grouping = _by_thresholds(frequency, candidate, None, key)
            if grouping.is_usable:
                return grouping
        return _by_rank(frequency, f' (thresholds by {" or ".join(tried)} leave a group empty)')
    if name == 'rank' and not text:
        return _by_rank(frequency, '')
    if name not in RULES or name == 'rank':
        raise ValueError(f'{key}: expected {_FORM}, got {rule!r}. Choose one of them')
    return _by_thresholds(frequency, name, _numbers(text, rule, key) if text else None, key)


def _numbers(text: str, rule: str, key: str) -> list[float]:
    try:
        return [float(part) for part in text.split(',')]
    except ValueError:
        raise ValueError(f'{key}: expected {_FORM}, got {rule!r}. Write two numbers') from None


def _by_thresholds(
    frequency: ClassFrequency, by: str, thresholds: Sequence[float] | None, key: str
) -> Grouping:
    if by == 'shots':
        many, few = SHOT_THRESHOLDS if thresholds is None else _shots(thresholds, key)
        counts = frequency.counts('images', key=key)
        groups = group_classes(counts, many + 1, few, SHOT_GROUPS)
        return Grouping(groups, f'many: more than {many} training images, few: less than {few}')
    head, tail = GROUP_THRESHOLDS[by] if thresholds is None else check_thresholds(thresholds, key)
    of = 'the training images show the class' if by == 'images' else 'the training pixels'
    rule = f'head: at least {100 * head:g} % of {of}, tail: less than {100 * tail:g} %'
    return Grouping(group_classes(frequency.shares(by, key=key), head, tail), rule)


def _shots(thresholds: Sequence[float], key: str) -> tuple[int, int]:
    values = [int(value) for value in thresholds]
    if len(values) != 2 or values != list(thresholds) or not values[0] >= values[1] >= 1:
        raise ValueError(
            f'{key}: expected shots:MANY,FEW, whole numbers with MANY >= FEW >= 1, got '
            f'{tuple(thresholds)}. A class has many above the first, few below the second'
        )
    return values[0], values[1]


def _by_rank(frequency: ClassFrequency, why: str) -> Grouping:
    """Cut the classes into thirds by falling count; the outer thirds are of the same size."""
    by = 'images' if frequency.pixels is None else 'pixels'
    names = SHOT_GROUPS if frequency.pixels is None else GROUP_NAMES
    order = np.argsort(-frequency.counts(by), kind='stable').tolist()
    # One or two classes leave the middle empty; a single one is in the first group.
    outer = max(1, round(len(order) / 3)) if len(order) > 1 else 0
    parts = (order[:outer], order[outer : len(order) - outer], order[len(order) - outer :])
    if not outer:
        parts = (order, [], [])
    sizes = ', '.join(f'{len(part)} {name}' for name, part in zip(names, parts, strict=True))
    rule = f'thirds by rank of the training {by}: {sizes}{why}'
    return Grouping(dict(zip(names, parts, strict=True)), rule)
