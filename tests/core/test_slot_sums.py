"""Sums of rows by slot against a loop in float64."""

import pytest
import torch
from torch.testing import assert_close

from paco_seg.core import slot_sums as module
from paco_seg.core.compared.region import region_means
from paco_seg.core.contrast import ContrastRows
from paco_seg.core.region_keys import region_keys
from paco_seg.core.slot_sums import slot_sums
from paco_seg.core.streaming import class_positive_sums


@pytest.mark.parametrize('rows', [0, 1, 5, 16, 17, 40, 1000])
@pytest.mark.parametrize('sets', [1, 3])
def test_equals_a_loop(monkeypatch, sets, rows):
    monkeypatch.setattr(module, '_BLOCK', 4)
    monkeypatch.setattr(module, '_MOST_BLOCKS', 8)
    generator = torch.Generator().manual_seed(rows)
    values = torch.randn(sets, rows, 3, generator=generator, dtype=torch.float64)
    values.requires_grad_()
    index = torch.randint(0, 5, (sets, rows), generator=generator)
    expected = torch.zeros(sets, 5, 3, dtype=torch.float64)
    for image in range(sets):
        for row in range(rows):
            expected[image, index[image, row]] += values[image, row].detach()
    found = slot_sums(values, index, 5)
    assert_close(found, expected)
    weight = torch.randn(sets, 5, 3, generator=generator, dtype=torch.float64)
    (found * weight).sum().backward()
    assert_close(values.grad, weight.gather(1, index.unsqueeze(-1).expand(-1, -1, 3)))


def test_the_blocks_are_added_in_the_dtype_that_is_asked_for():
    ones, index = torch.ones(1, 40_000, 1), torch.zeros(1, 40_000, dtype=torch.long)
    assert slot_sums(ones, index, 1).dtype == torch.float32
    assert slot_sums(ones, index, 1, dtype=torch.float64).dtype == torch.float64


# A sum of this many equal rows, one after the other, is off by 2e-3 to 1e-2.
NUMBER = 2**19


@pytest.mark.parametrize('value', [0.1, 1.04])
def test_the_mean_of_a_region_of_equal_features_is_their_value(value):
    features = torch.full((2, 1, 512, 512), value)
    means, _ = region_means(features, torch.zeros(2, 512, 512, dtype=torch.long), 2)
    assert_close(means[0, 0, 0].item(), value, rtol=2e-4, atol=0.0)


def test_keys_and_positives_of_many_equal_rows():
    row = torch.nn.functional.normalize(torch.tensor([0.3, -0.8, 0.52]), dim=0)
    rows, labels = row.expand(1, NUMBER, 3), torch.zeros(1, NUMBER, dtype=torch.long)
    keys, _ = region_keys(rows, labels, 1)
    assert_close(keys[0], row, rtol=2e-4, atol=0.0)
    contrast = ContrastRows(rows, labels, None, rows.new_empty(0, 3), labels.new_empty(0), None, 1)
    sums, count = class_positive_sums(contrast)
    assert_close(sums / count, torch.ones(1, NUMBER), rtol=2e-4, atol=0.0)
