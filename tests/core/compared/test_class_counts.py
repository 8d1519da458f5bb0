import math

import pytest
import torch
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import effective_numbers, log_class_prior


def test_log_prior_is_the_logarithm_of_the_frequencies():
    prior = log_class_prior(torch.tensor([6, 3, 1]))
    assert prior.dtype == torch.float32
    assert_close(prior.exp(), torch.tensor([0.6, 0.3, 0.1]))
    assert log_class_prior(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_log_prior_of_cifar100_lt_at_imbalance_100():
    counts = [int(500 * 0.01 ** (index / 99)) for index in range(100)]
    prior = log_class_prior(torch.tensor(counts))
    assert_close(prior[0].item(), -3.077, atol=5e-4, rtol=0)
    assert_close(prior[99].item(), -7.682, atol=5e-4, rtol=0)


@pytest.mark.parametrize('function', [log_class_prior, lambda n: effective_numbers(n, 0.9)])
def test_a_class_without_samples_is_refused_by_name(function):
    with pytest.raises(ValueError, match=r'class_counts: expected positive.* classes \[1, 3\]'):
        function(torch.tensor([5, 0, 2, 0]))
    with pytest.raises(ShapeError, match='class_counts'):
        function(torch.ones(2, 2))


def test_effective_numbers_by_hand_and_at_the_limits():
    counts = torch.tensor([1, 2, 7])
    assert_close(effective_numbers(counts, 0.5)[:2], torch.tensor([1.0, 1.5]).double())
    assert_close(effective_numbers(counts, 0.0), torch.ones(3).double())
    assert_close(effective_numbers(counts, 1 - 1e-9), counts.double(), rtol=1e-6, atol=0)
    huge = effective_numbers(torch.tensor([10**9]), 0.999).item()
    assert math.isclose(huge, 1000.0, rel_tol=1e-12)
    with pytest.raises(ValueError, match='beta'):
        effective_numbers(counts, 1.0)
