"""Verdicts by hand: the distribution, the correction, and what is said of which differences."""

import pytest

from paco_seg.comparison.verdict import (
    BETTER,
    EQUIVALENT,
    TOO_FEW,
    WORSE,
    holm,
    judge,
    paired_p,
    rule,
    t_quantile,
    two_sided,
)

BASE = {0: 50.0, 1: 51.0, 2: 49.0}


def system(*differences):
    return {seed: BASE[seed] + difference for seed, difference in enumerate(differences)}


# Printed tables of Student's t: the 97.5 % quantile.
@pytest.mark.parametrize(
    ('freedom', 'quantile'),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042)],
)
def test_distribution_agrees_with_the_printed_table(freedom, quantile):
    assert two_sided(quantile, freedom) == pytest.approx(0.05, abs=2e-4)
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=6e-4)
    assert two_sided(0.0, freedom) == 1.0
    assert two_sided(-quantile, freedom) == two_sided(quantile, freedom)


def test_paired_p_by_hand():
    # Mean 2, deviation 1, three pairs: t = 2 sqrt(3), and for two degrees of freedom
    # p = 1 - t / sqrt(2 + t^2).
    t = 2 * 3**0.5
    assert paired_p([1.0, 2.0, 3.0]) == pytest.approx(1 - t / (2 + t * t) ** 0.5)
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([1.0, 1.0, 1.0]) == 0.0


def test_holm_by_hand():
    # sorted .01 x 3, .02 x 2, .9 x 1; none below the one before it
    assert holm({'a': 0.02, 'b': 0.9, 'c': 0.01}) == pytest.approx(dict(c=0.03, a=0.04, b=0.9))
    assert holm({'a': 0.01, 'b': 0.011}) == pytest.approx(dict(a=0.02, b=0.02))
    assert holm({'a': 0.6, 'b': 0.7}) == dict(a=1.0, b=1.0)


def test_different_needs_more_than_the_noise():
    found = judge(BASE, dict(up=system(5.0, 5.2, 4.9), down=system(-5.0, -5.2, -4.9)))
    assert (found['up'].says, found['down'].says) == (BETTER, WORSE)
    assert found['up'].difference == pytest.approx(5.0333, abs=1e-3)
    low, high = found['up'].interval
    assert low < found['up'].difference < high


def test_a_large_mean_inside_the_noise_is_never_called_better():
    (verdict,) = judge(BASE, dict(noisy=system(20.0, -5.0, 3.0))).values()
    assert verdict.says == TOO_FEW
    assert verdict.seeds_needed > 3


@pytest.mark.parametrize('mean', [0.4, 0.9, 1.1, 2.4])
@pytest.mark.parametrize('others', [0, 9])
def test_as_many_seeds_as_are_suggested_settle_it(mean, others):
    """If the differences stay what they are, and those of the other systems too."""

    def judged(seeds):
        # around the mean with a deviation of exactly 1.2
        signs = [(-1) ** i if i < seeds - seeds % 2 else 0 for i in range(seeds)]
        scale = 1.2 * ((seeds - 1) / (seeds - seeds % 2)) ** 0.5
        base = dict.fromkeys(range(seeds), 50.0)
        own = {seed: 50.0 + mean + scale * sign for seed, sign in enumerate(signs)}
        noise = {seed: 50.0 + 50 * sign for seed, sign in enumerate(signs)}
        return judge(base, {'own': own, **{f'b{i}': noise for i in range(others)}})['own']

    few = judged(3)
    assert few.says == TOO_FEW
    assert judged(few.seeds_needed).says != TOO_FEW
    assert judged(few.seeds_needed - 1).says == TOO_FEW


def test_equivalent_where_the_interval_lies_within_the_margin():
    near = dict(near=system(0.1, -0.1, 0.05))
    assert judge(BASE, near)['near'].says == EQUIVALENT
    assert judge(BASE, near, margin=0.05)['near'].says == TOO_FEW


@pytest.mark.parametrize('seeds', [1, 2])
def test_fewer_than_three_seeds_say_nothing(seeds):
    base = {seed: BASE[seed] for seed in range(seeds)}
    verdict = judge(base, dict(up=system(5.0, 5.0001, 5.0)))['up']
    assert verdict.says == TOO_FEW
    assert (verdict.p is None) == (seeds == 1)


def test_only_common_seeds_are_paired():
    verdict = judge({0: 1.0, 2: 1.0}, dict(a={0: 2.0, 1: 99.0, 2: 2.5}))['a']
    assert (verdict.seeds, verdict.difference) == (2, 1.25)
    assert judge({0: 1.0}, dict(a={1: 2.0})) == {}


def test_correction_counts_the_systems():
    values = system(2.0, 2.4, 1.8)
    alone = judge(BASE, dict(a=values))['a']
    among = judge(BASE, dict(a=values, **{f'b{i}': system(0.3, -2.0, 1.0) for i in range(9)}))['a']
    assert alone.says == BETTER
    assert among.p == pytest.approx(10 * alone.p)
    assert among.says == TOO_FEW


def test_rule_names_the_test_and_the_margin():
    assert 'paired t-test' in rule(0.5)
    assert '0.5 points' in rule(0.5)
