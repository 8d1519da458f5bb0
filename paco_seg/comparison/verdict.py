"""What a comparison says in words, by a rule that is stated beside it.

Each system is compared with the baseline seed by seed. Three seeds of one system say little of how
much seeds scatter; those of all systems together say it well. So the noise is the residual of a
two-way analysis of variance, of systems and seeds, over all rows of the comparison (the setting of
Dunnett 1955, with seeds as blocks). Two things keep a system that scatters more from being
flattered, and from hiding the others: no t-test takes less than the scatter of its own paired
differences, and a system whose scatter stands out leaves the common noise and is judged by a paired
t-test of its own. The p-values are corrected for the number of systems (Holm 1979). With one
system beside the baseline all this is the paired t-test.

The rule:

- *different*: the corrected p is below .05;
- *equivalent within the noise*: it is not, and the 95 % confidence interval of the mean difference
  lies within the margin that matters;
- *too few seeds*: neither. The seeds scatter too much, or are too few, to say either.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np
from scipy import stats

LEVEL = 0.05
MARGIN = 1.0  # points of the metric: the smallest difference that matters
SMALLEST = 3  # seeds for a statement
STANDS_OUT = 0.01  # p of a scatter that is not that of the others
_MOST = 30  # seeds that are ever suggested

BETTER, WORSE = 'better', 'worse'
EQUIVALENT, TOO_FEW = 'equivalent within the noise', 'too few seeds'

# Name of a system -> seed -> value.
Values = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Verdict:
    """A system against the baseline.

    Args:
        difference: mean over the seeds of system minus baseline, in points.
        interval: 95 % confidence interval of it; None with one seed.
        p: two-sided, Holm-corrected; None with one seed.
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


@dataclass(frozen=True)
class Noise:
    """How much the values of a system scatter beside what a seed does to all of them.

    Args:
        variance: of one value, in points squared.
        freedom: degrees of freedom of it; 0 where nothing tells it.
        outside: systems whose scatter stands out. They have no part in the variance.
    """

    variance: float
    freedom: int
    outside: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Difference:
    """A system minus the baseline, and how sure that is.

    Args:
        mean: over the pairs, in points.
        pairs: number of seeds that both have.
        deviation: of one pair.
        freedom: degrees of freedom of the deviation; 0 where nothing tells it.
    """

    mean: float
    pairs: int
    deviation: float
    freedom: int

    def p(self, pairs: int | None = None) -> float:
        """Return the two-sided p of the t-test, of this difference with as many pairs."""
        error = self._error(pairs)
        if error == 0.0:
            return 1.0 if self.mean == 0.0 else 0.0
        return float(2 * stats.t.sf(abs(self.mean) / error, self._freedom(pairs)))

    def half_interval(self, pairs: int | None = None) -> float:
        """Return half of the width of the 95 % confidence interval."""
        return float(stats.t.ppf(1 - LEVEL / 2, self._freedom(pairs)) * self._error(pairs))

    def _error(self, pairs: int | None) -> float:
        return self.deviation / math.sqrt(pairs or self.pairs)

    def _freedom(self, pairs: int | None) -> float:
        # More seeds of one system are more seeds of all.
        return self.freedom * ((pairs or self.pairs) - 1) / max(self.pairs - 1, 1)


def rule(margin: float = MARGIN) -> str:
    """Return the rule in words, for the report."""
    return (
        'Each system is paired with the baseline by seed: t-test, two-sided, with the residual '
        'variance of all systems and seeds (two-way analysis of variance), or that of its own '
        'paired differences where it is larger; systems whose scatter stands out (F-test, '
        f'p < {STANDS_OUT:g}) by a paired t-test of their own; p corrected for the number of '
        f'systems (Holm). Different: p < {LEVEL:g}. Equivalent within the noise: not different, '
        f'and the 95 % confidence interval of the mean difference lies within {margin:g} points of '
        f'zero. Otherwise, and with fewer than {SMALLEST} seeds, there are too few seeds to say '
        'either.'
    )


def judge(
    values: Values,
    baseline: str,
    *,
    only: Iterable[str] | None = None,
    margin: float = MARGIN,
    apart: Collection[str] = (),
) -> dict[str, Verdict]:
    """Compare systems with the baseline.

    Args:
        values: name -> seed -> value, larger is better; the baseline and all that was compared.
            Seeds that the baseline lacks are not paired.
        baseline: name of it.
        only: systems that a question is about. The correction counts these, the noise is that of
            all. None: all.
        margin: points within which a difference does not matter.
        apart: systems of another machine than ``baseline``, where that is not what ties the
            machines together. Their values are distances to what does, and so are those of
            ``baseline``: the difference of two differences has twice the variance.

    Returns:
        name -> verdict; a system without a common seed is left out.

    Example::

        >>> values = {'ce': {0: 47.9, 1: 46.7, 2: 47.2}, 'gpaco': {0: 49.7, 1: 49.4, 2: 50.1}}
        >>> judge(values, 'ce')['gpaco'].says
        'better'
    """
    noise = noise_of(values)
    names = [name for name in (values if only is None else only) if name != baseline]
    differences = {
        name: difference
        for name in names
        if (difference := _difference(values, baseline, name, noise, name in apart)) is not None
    }
    raw = {name: found.p() for name, found in differences.items() if _is_tested(found)}
    corrected = holm(raw)
    return {
        name: _verdict(found, corrected.get(name), margin, _factor(raw, name))
        for name, found in differences.items()
    }


def noise_of(values: Values) -> Noise:
    """Return the residual variance of values by system and seed: of ``system + seed`` as a sum.

    The residuals that a system adds to those of the others are compared with them by an F-test,
    corrected for the number of systems; whichever stands out most leaves first.

    Args:
        values: name -> seed -> value.
    """
    names = set(values)
    squares, freedom = _residual(values, names)
    while len(names) > 2:
        without = {name: _residual(values, names - {name}) for name in names}
        p = {
            name: _f_test(squares - rest, freedom - left, rest, left)
            for name, (rest, left) in without.items()
        }
        most = min(sorted(names), key=lambda name: p[name])
        if p[most] * len(names) >= STANDS_OUT:
            break
        names.remove(most)
        squares, freedom = without[most]
    variance = squares / freedom if freedom else 0.0
    return Noise(variance, freedom, frozenset(values) - names)


def _residual(values: Values, names: Iterable[str]) -> tuple[float, int]:
    """Return the sum of squares that ``system + seed`` leaves, and its degrees of freedom."""
    cells = [(name, seed, value) for name in names for seed, value in values[name].items()]
    if not cells:
        return 0.0, 0
    rows, seeds, found = map(np.array, zip(*cells, strict=True))
    design = np.hstack([one[:, None] == np.unique(one) for one in (rows, seeds)]).astype(float)
    fitted, _, rank, _ = np.linalg.lstsq(design, found, rcond=None)
    squares = float(((found - design @ fitted) ** 2).sum())
    # What rounding leaves of equal values is no scatter.
    return (squares if squares > 1e-20 * float((found**2).sum()) else 0.0), len(cells) - int(rank)


def _f_test(added: float, added_freedom: int, rest: float, freedom: int) -> float:
    """Return the probability that residuals of the same variance add as much or more."""
    if added_freedom <= 0 or freedom <= 0 or added <= 0.0:
        return 1.0
    if rest == 0.0:
        return 0.0
    ratio = (added / added_freedom) / (rest / freedom)
    return float(stats.f.sf(ratio, added_freedom, freedom))


def _difference(
    values: Values, baseline: str, name: str, noise: Noise, is_apart: bool
) -> Difference | None:
    base, own = values[baseline], values[name]
    pairs = [own[seed] - base[seed] for seed in sorted(own) if seed in base]
    if not pairs:
        return None
    scatter = variance(pairs) if len(pairs) > 1 else 0.0
    if noise.outside & {baseline, name}:
        return Difference(fmean(pairs), len(pairs), math.sqrt(scatter), len(pairs) - 1)
    deviation = math.sqrt(max((4 if is_apart else 2) * noise.variance, scatter))
    return Difference(fmean(pairs), len(pairs), deviation, noise.freedom)


def _is_tested(difference: Difference) -> bool:
    return difference.pairs > 1 and difference.freedom > 0


def _factor(raw: Mapping[str, float], name: str) -> int:
    """Return what the p of a system is multiplied by; 1 without one."""
    ranks = sorted(raw, key=lambda key: raw[key])
    return len(raw) - ranks.index(name) if name in raw else 1


def _verdict(difference: Difference, p: float | None, margin: float, factor: int) -> Verdict:
    mean, number = difference.mean, difference.pairs
    if p is None:
        return Verdict(mean, None, None, number, TOO_FEW, SMALLEST)
    half = difference.half_interval()
    interval = (mean - half, mean + half)
    if number < SMALLEST:
        says = TOO_FEW
    elif p < LEVEL:
        says = BETTER if mean > 0 else WORSE
    elif max(abs(interval[0]), abs(interval[1])) <= margin:
        says = EQUIVALENT
    else:
        says = TOO_FEW
    needed = seeds_needed(difference, margin, factor) if says == TOO_FEW else None
    return Verdict(mean, interval, p, number, says, needed)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number (Holm 1979), never falling with the raw one."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        corrected[name] = largest
    return corrected


def seeds_needed(difference: Difference, margin: float, factor: int = 1) -> int | None:
    """Return about how many seeds would show this difference, or that none matters.

    Args:
        difference: so far.
        margin: points within which a difference does not matter.
        factor: what the correction multiplies p by.

    Returns:
        None if that is more than anybody trains.
    """
    # A difference that does not show is given more seeds, whatever the others do to its p.
    for number in range(max(SMALLEST, difference.pairs + 1), _MOST + 1):
        different = factor * difference.p(number) < LEVEL
        near = abs(difference.mean) + difference.half_interval(number) <= margin
        if different or near:
            return number
    return None
