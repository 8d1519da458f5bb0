"""The groups and the index of the dual metric."""

import numpy as np
import pytest
from references import rarity as reference

from paco_seg.core.rarity import gini_index, rarity_groups

rng = np.random.default_rng(0)
COUNTS = [
    rng.permutation(1000)[:59],  # no ties
    rng.zipf(1.6, 847).clip(max=10**9),  # many ties among the rare ones
    rng.integers(0, 4, 171),
    np.arange(15),
    np.array([7]),
]


@pytest.mark.parametrize('counts', COUNTS, ids=len)
def test_dual_metric_groups_equal_the_reference_and_partition_the_classes(counts):
    found = rarity_groups(counts)
    assert {name: set(members) for name, members in found.items()} == reference.groups(
        counts.tolist()
    )
    assert sorted(index for members in found.values() for index in members) == list(
        range(len(counts))
    )
    for members in found.values():
        assert counts[members].tolist() == sorted(counts[members].tolist(), reverse=True)


def test_dual_metric_group_sizes_are_those_of_the_benchmark():
    # COCO-Stuff-LT and MHP-v2-LT, where no tie moves the bounds
    sizes = [tuple(map(len, rarity_groups(np.arange(number)).values())) for number in (171, 59)]
    assert sizes == [(34, 34, 103), (11, 12, 36)]


def test_dual_metric_equal_counts_are_one_group():
    assert rarity_groups([5] * 6) == {'rare': [], 'common': [], 'frequent': [0, 1, 2, 3, 4, 5]}


@pytest.mark.parametrize('counts', COUNTS, ids=len)
def test_dual_metric_gini_equals_the_reference(counts):
    assert gini_index(counts) == pytest.approx(reference.gini(counts.tolist()), abs=1e-12)


def test_dual_metric_gini_limits():
    assert gini_index([3, 3, 3]) == pytest.approx(0.0, abs=1e-15)
    assert gini_index([0, 0, 0, 9]) == pytest.approx(0.75)
    assert gini_index([2, 1, 5]) == gini_index([500, 200, 100])


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: gini_index([0, 0]), 'counts: expected'),
        (lambda: gini_index([-1, 2]), 'counts: expected'),
        (lambda: rarity_groups([]), 'counts: expected'),
        (lambda: rarity_groups([1], (0.4, 0.2)), r'shares\[0\]: expected'),
        (lambda: rarity_groups([1], (0.4, 1.0)), r'shares\[1\]: expected'),
    ],
)
def test_dual_metric_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
