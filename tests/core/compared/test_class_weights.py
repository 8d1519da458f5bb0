"""Class weights by hand: proportions, scale, classes without samples."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import class_weights

COUNTS = [5000, 600, 70, 8, 1]


def by_hand(counts: list[int], weighting: str, beta: float) -> list[float]:
    """Each weight in a loop, then one factor for all."""
    raw = []
    for count in counts:
        amount = float(count)
        if weighting == 'effective':
            amount = sum(beta**power for power in range(count))
        raw.append(1.0 / amount if count else 0.0)
    mean = sum(n * w for n, w in zip(counts, raw, strict=True)) / sum(counts)
    return [w / mean for w in raw]


@pytest.mark.parametrize('weighting', ['inverse', 'effective'])
@pytest.mark.parametrize('beta', [0.0, 0.9, 0.999])
@pytest.mark.parametrize('counts', [COUNTS, [3, 0, 1], [7]])
def test_weights_by_hand(weighting, beta, counts):
    weights = class_weights(torch.tensor(counts), weighting=weighting, beta=beta)
    expected = torch.tensor(by_hand(counts, weighting, beta), dtype=torch.float64)
    assert_close(weights, expected, rtol=1e-9, atol=0)


def test_mean_over_samples_is_one_and_equal_counts_have_equal_weights():
    weights = class_weights(torch.tensor(COUNTS))
    assert_close((weights * torch.tensor(COUNTS)).sum(), torch.tensor(5679.0).double())
    assert (weights.diff() > 0).all()
    assert_close(class_weights(torch.tensor([4, 4, 4])), torch.ones(3).double())


@pytest.mark.parametrize(
    ('counts', 'settings', 'error', 'message'),
    [
        ([[1, 2]], {}, ShapeError, 'class_counts: expected shape'),
        ([0, 0], {}, ValueError, 'class_counts: expected counts >= 0 that are not all 0'),
        ([1, -1], {}, ValueError, 'class_counts: expected counts >= 0 that are not all 0'),
        ([1, 2], dict(weighting='sqrt'), ValueError, 'weighting: expected one of'),
        ([1, 2], dict(weighting='effective', beta=1.0), ValueError, 'beta: expected a value in'),
    ],
)
def test_errors(counts, settings, error, message):
    with pytest.raises(error, match=message):
        class_weights(torch.tensor(counts), **settings)
