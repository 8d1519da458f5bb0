"""Verdicts by hand: the distribution, the correction, and what is said of which differences."""

import numpy as np
import pytest
from scipy import stats

from paco_seg.comparison.verdict import (
    BETTER,
    EQUIVALENT,
    TOO_FEW,
    WORSE,
    Difference,
    Noise,
    holm,
    judge,
    noise_of,
    rule,
    seeds_needed,
)

BASE = {0: 50.0, 1: 51.0, 2: 49.0}


def system(*differences):
    return {seed: BASE[seed] + difference for seed, difference in enumerate(differences)}


def judged(**systems):
    return judge({'ce': BASE, **systems}, 'ce')


def paired(differences):
    """One system beside a baseline of 50."""
    values = {seed: 50.0 + difference for seed, difference in enumerate(differences)}
    return judge({'ce': dict.fromkeys(values, 50.0), 'one': values}, 'ce')['one']


def test_with_one_system_it_is_the_paired_t_test_by_hand():
    # Mean 2, deviation 1, three pairs: t = 2 sqrt(3), and for two degrees of freedom
    # p = 1 - t / sqrt(2 + t^2).
    t = 2 * 3**0.5
    assert paired([1.0, 2.0, 3.0]).p == pytest.approx(1 - t / (2 + t * t) ** 0.5)
    assert paired([0.0, 0.0]).p == 1.0
    assert paired([1.0, 1.0, 1.0]).p == 0.0


@pytest.mark.parametrize('number', [3, 4, 6])
def test_with_one_system_it_is_the_paired_t_test_of_scipy(number):
    generator = np.random.default_rng(number)
    base, own = generator.normal(50, 2, size=(2, number))
    expected = stats.ttest_rel(own, base)
    verdict = judge({'ce': dict(enumerate(base)), 'own': dict(enumerate(own))}, 'ce')['own']
    assert verdict.p == pytest.approx(expected.pvalue)
    assert verdict.interval == pytest.approx(tuple(expected.confidence_interval()))


def test_noise_is_the_residual_of_systems_and_seeds():
    generator = np.random.default_rng(0)
    table = generator.normal(size=(5, 4)) + 3 * generator.normal(size=(5, 1)) + np.arange(4)
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    noise = noise_of({str(i): dict(enumerate(row)) for i, row in enumerate(table)})
    assert (noise.freedom, noise.outside) == (4 * 3, frozenset())
    assert noise.variance == pytest.approx((residual**2).sum() / 12)


@pytest.mark.parametrize(
    ('values', 'freedom'),
    [
        ({'a': {0: 1.0, 1: 2.0, 2: 4.0}, 'b': {0: 3.0, 1: 4.0}, 'c': {2: 9.0}}, 1),
        ({'a': {0: 1.0}, 'b': {0: 2.0}}, 0),
        ({'a': {0: 1.0, 1: 2.0}, 'b': {}}, 0),
        ({'a': {0: 1.0, 1: 2.0}, 'b': {2: 1.0, 3: 5.0}}, 0),
        ({'a': {}}, 0),
        ({}, 0),
    ],
)
def test_noise_of_uneven_seeds(values, freedom):
    assert noise_of(values) == Noise(0.0, freedom)


def test_all_rows_tell_what_one_row_cannot():
    up = system(2.0, 3.0, 2.2)
    quiet = {f'b{i}': system(0.3 * (i % 2), 0.2, -0.2 * (i % 3)) for i in range(9)}
    among = judged(up=up, **quiet)['up']
    assert among.says == BETTER
    assert judged(up=up)['up'].p > among.p


def test_a_system_that_scatters_more_counts_with_its_own_scatter():
    differences = [1.2, -0.9, 0.8]
    even = {f'b{i}': system(*np.roll([0.6, -0.6, 0.0], i)) for i in range(6)}
    verdict = judged(wide=system(*differences), **even)['wide']
    noise = noise_of({'ce': BASE, 'wide': system(*differences), **even})
    assert not noise.outside
    assert 2 * noise.variance < np.var(differences, ddof=1)
    half = stats.t.ppf(0.975, noise.freedom) * np.std(differences, ddof=1) / 3**0.5
    mean = np.mean(differences)
    assert verdict.interval == pytest.approx((mean - half, mean + half))


@pytest.mark.parametrize('others', [1, 2, 9])
def test_a_system_that_stands_out_hides_no_other_and_is_judged_alone(others):
    wild = system(20.0, -5.0, 3.0)
    quiet = {f'up{i}': system(*(2 + np.roll([0.1, -0.12, 0.01], i))) for i in range(others)}
    assert noise_of({'ce': BASE, 'wild': wild, **quiet}).outside == {'wild'}
    found = judged(wild=wild, **quiet)
    assert all(found[name].says == BETTER for name in quiet)
    alone = judged(wild=wild)['wild']
    assert found['wild'].interval == pytest.approx(alone.interval)
    assert found['wild'].p == pytest.approx(min(1.0, alone.p))


def test_where_the_baseline_stands_out_all_are_judged_by_their_own_pairs():
    base = {0: 50.0, 1: 40.0, 2: 60.0}
    rows = {f'up{i}': {0: 55.0 + 0.1 * i, 1: 55.1, 2: 54.9} for i in range(3)}
    assert noise_of({'ce': base, **rows}).outside == {'ce'}
    expected = stats.ttest_rel(list(rows['up1'].values()), list(base.values()))
    verdict = judge({'ce': base, **rows}, 'ce', only=['up1'])['up1']
    assert verdict.p == pytest.approx(expected.pvalue)


def test_chance_is_called_a_difference_in_few_comparisons_of_many():
    """Six systems, three seeds, no real difference: a wrong word in one comparison of twenty."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(40):
        scatter = generator.uniform(0.3, 0.9, size=(7, 1))
        table = 50 + scatter * generator.normal(size=(7, 3)) + generator.normal(size=3)
        values = {str(i): dict(enumerate(row)) for i, row in enumerate(table)}
        wrong += any(v.says in (BETTER, WORSE) for v in judge(values, '0').values())
    assert wrong <= 4


def test_holm_by_hand():
    # sorted .01 x 3, .02 x 2, .9 x 1; none below the one before it
    assert holm({'a': 0.02, 'b': 0.9, 'c': 0.01}) == pytest.approx(dict(c=0.03, a=0.04, b=0.9))
    assert holm({'a': 0.01, 'b': 0.011}) == pytest.approx(dict(a=0.02, b=0.02))
    assert holm({'a': 0.6, 'b': 0.7}) == dict(a=1.0, b=1.0)


def test_different_needs_more_than_the_noise():
    found = judged(up=system(5.0, 5.2, 4.9), down=system(-5.0, -5.2, -4.9))
    assert (found['up'].says, found['down'].says) == (BETTER, WORSE)
    assert found['up'].difference == pytest.approx(5.0333, abs=1e-3)
    low, high = found['up'].interval
    assert low < found['up'].difference < high


def test_a_large_mean_inside_the_noise_is_never_called_better():
    (verdict,) = judged(noisy=system(20.0, -5.0, 3.0)).values()
    assert verdict.says == TOO_FEW
    assert verdict.seeds_needed > 3


@pytest.mark.parametrize('mean', [0.4, 0.9, 1.1, 2.4])
@pytest.mark.parametrize('freedom', [1, 9])
def test_as_many_seeds_as_are_suggested_settle_it(mean, freedom):
    """If the difference and the scatter stay what they are; freedom as of so many systems."""

    def settles(seeds):
        difference = Difference(mean, seeds, 1.2, freedom * (seeds - 1))
        near = mean + difference.half_interval() <= 1.0
        return 3 * difference.p() < 0.05 or near

    few = Difference(mean, 3, 1.2, freedom * 2)
    needed = seeds_needed(few, margin=1.0, factor=3)
    assert settles(needed)
    assert needed > 3
    assert needed == 4 or not settles(needed - 1)


def test_equivalent_where_the_interval_lies_within_the_margin():
    near = {'ce': BASE, 'near': system(0.1, -0.1, 0.05)}
    assert judge(near, 'ce')['near'].says == EQUIVALENT
    assert judge(near, 'ce', margin=0.05)['near'].says == TOO_FEW


@pytest.mark.parametrize('seeds', [1, 2])
def test_fewer_than_three_seeds_say_nothing(seeds):
    base = {seed: BASE[seed] for seed in range(seeds)}
    verdict = judge({'ce': base, 'up': system(5.0, 5.0001, 5.0)}, 'ce')['up']
    assert verdict.says == TOO_FEW
    assert (verdict.p is None) == (seeds == 1)


def test_only_common_seeds_are_paired():
    base = {0: 1.0, 2: 1.0}
    verdict = judge({'ce': base, 'a': {0: 2.0, 1: 99.0, 2: 2.5}}, 'ce')['a']
    assert (verdict.seeds, verdict.difference) == (2, 1.25)
    assert judge({'ce': {0: 1.0}, 'a': {1: 2.0}}, 'ce') == {}
    assert judge({'ce': {}, 'a': {1: 2.0}}, 'ce') == {}


def test_correction_counts_the_systems_that_are_asked_about():
    values = {'ce': BASE, 'a': system(1.0, 1.4, 0.8)}
    values |= {f'b{i}': system(*np.roll([0.3, -0.3, 0.0], i)) for i in range(9)}
    alone, among = judge(values, 'ce', only=['a'])['a'], judge(values, 'ce')['a']
    assert among.p == pytest.approx(10 * alone.p)
    assert among.interval == alone.interval


def test_rule_names_the_test_and_the_margin():
    assert 't-test, two-sided, with the residual variance of all' in rule(0.5)
    assert '0.5 points' in rule(0.5)


def test_rows_of_two_machines_differ_with_twice_the_variance():
    values = {
        'ce': {0: 50.0, 1: 51.0, 2: 49.2},
        'here': {0: 53.1, 1: 53.9, 2: 52.0},
        'there': {0: 54.2, 1: 55.3, 2: 53.1},
    }
    near = judge(values, 'here', only=['there'])['there']
    apart = judge(values, 'here', only=['there'], apart=['there'])['there']
    assert near.difference == apart.difference
    half = [(found.interval[1] - found.interval[0]) / 2 for found in (near, apart)]
    assert half[1] == pytest.approx(half[0] * 2**0.5)
    assert near.p < apart.p
