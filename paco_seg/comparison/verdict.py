"""What a comparison says in words, by a rule that is stated beside it.

Each system is compared with the baseline seed by seed: a paired t-test, two-sided, whose p-values
are corrected for the number of systems (Holm 1979). The rule:

- *different*: the corrected p is below .05;
- *equivalent within the noise*: it is not, and the 95 % confidence interval of the mean difference
  lies within the margin that matters;
- *too few seeds*: neither. The seeds scatter too much, or are too few, to say either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.05
MARGIN = 1.0  # points of the metric: the smallest difference that matters
SMALLEST = 3  # seeds for a statement
_MOST = 30  # seeds that are ever suggested

BETTER, WORSE = 'better', 'worse'
EQUIVALENT, TOO_FEW = 'equivalent within the noise', 'too few seeds'


@dataclass(frozen=True)
class Verdict:
    """A system against the baseline.

    Args:
        difference: mean over the seeds of system minus baseline, in points.
        interval: 95 % confidence interval of it; None with one seed.
        p: two-sided, of the paired t-test, Holm-corrected; None with one seed.
        seeds: number of pairs.
        says: :data:`BETTER`, :data:`WORSE`, :data:`EQUIVALENT` or :data:`TOO_FEW`.
        seeds_needed: about so many seeds would tell whether a difference of this size is real;
            None where the verdict needs no more.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float | None
    seeds: int
    says: str
    seeds_needed: int | None = None


def rule(margin: float = MARGIN) -> str:
    """Return the rule in words, for the report."""
    return (
        'Each system is paired with the baseline by seed: paired t-test, two-sided, p corrected '
        f'for the number of systems (Holm). Different: p < {LEVEL:g}. Equivalent within the '
        'noise: not different, and the 95 % confidence interval of the mean difference lies '
        f'within {margin:g} points of zero. Otherwise, and with fewer than {SMALLEST} seeds, '
        'there are too few seeds to say either.'
    )


def judge(
    baseline: Mapping[int, float],
    systems: Mapping[str, Mapping[int, float]],
    *,
    margin: float = MARGIN,
) -> dict[str, Verdict]:
    """Compare systems with the baseline.

    Args:
        baseline: seed -> value, larger is better.
        systems: name -> seed -> value. Seeds that the baseline lacks are left out.
        margin: points within which a difference does not matter.

    Returns:
        name -> verdict; a system without a common seed is left out.
    """
    differences = {
        name: [values[seed] - baseline[seed] for seed in sorted(values) if seed in baseline]
        for name, values in systems.items()
    }
    tested = {name: values for name, values in differences.items() if values}
    raw = {name: paired_p(values) for name, values in tested.items() if len(values) > 1}
    corrected = holm(raw)
    return {
        name: _verdict(values, corrected.get(name), margin, _factor(raw, name))
        for name, values in tested.items()
    }


def _factor(raw: Mapping[str, float], name: str) -> int:
    """Return what the p of a system is multiplied by; 1 without one."""
    ranks = sorted(raw, key=lambda key: raw[key])
    return len(raw) - ranks.index(name) if name in raw else 1


def _verdict(differences: Sequence[float], p: float | None, margin: float, factor: int) -> Verdict:
    mean, number = fmean(differences), len(differences)
    if number == 1 or p is None:
        return Verdict(mean, None, None, number, TOO_FEW, SMALLEST)
    half = t_quantile(1 - LEVEL / 2, number - 1) * stdev(differences) / math.sqrt(number)
    interval = (mean - half, mean + half)
    if number < SMALLEST:
        says = TOO_FEW
    elif p < LEVEL:
        says = BETTER if mean > 0 else WORSE
    elif max(abs(interval[0]), abs(interval[1])) <= margin:
        says = EQUIVALENT
    else:
        says = TOO_FEW
    needed = None
    if says == TOO_FEW:
        needed = seeds_needed(mean, stdev(differences), margin, factor)
    return Verdict(mean, interval, p, number, says, needed)


def paired_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the paired t-test: n differences, n - 1 degrees of freedom."""
    deviation = stdev(differences)
    mean = fmean(differences)
    if deviation == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    t = mean / (deviation / math.sqrt(len(differences)))
    return two_sided(t, len(differences) - 1)


def two_sided(t: float, freedom: int) -> float:
    """Return the probability that Student's t is at least as far from zero as ``t``.

    The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4: exact for whole degrees of freedom,
    which is all that counts of seeds need.
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    cosine = math.cos(angle)
    term, total = (cosine, 0.0) if freedom % 2 else (1.0, 0.0)
    first = 1 if freedom % 2 else 0
    for power in range(first, freedom - 1, 2):
        if power > first:
            term *= cosine * cosine * (power - 1) / power
        total += term
    if freedom % 2:
        within = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        within = math.sin(angle) * total
    return min(1.0, max(0.0, 1.0 - within))


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t for a probability above .5, by bisection."""
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        if 1 - two_sided(middle, freedom) / 2 < probability:
            low = middle
        else:
            high = middle
    return high


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number (Holm 1979), never falling with the raw one."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        corrected[name] = largest
    return corrected


def seeds_needed(mean: float, deviation: float, margin: float, factor: int = 1) -> int | None:
    """Return about how many seeds would show this difference, or that none matters.

    Args:
        mean: difference so far.
        deviation: of the differences.
        margin: points within which a difference does not matter.
        factor: what the correction multiplies p by.

    Returns:
        None if that is more than anybody trains.
    """
    for number in range(SMALLEST, _MOST + 1):
        error = deviation / math.sqrt(number)
        different = t_quantile(1 - LEVEL / (2 * factor), number - 1) * error < abs(mean)
        near = abs(mean) + t_quantile(1 - LEVEL / 2, number - 1) * error <= margin
        if different or near:
            return number
    return None
