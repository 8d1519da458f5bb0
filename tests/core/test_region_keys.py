"""Region means as keys, held to loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from references import pixel_options as reference

from paco_seg.core.region_keys import region_keys


def rows(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    embeddings = F.normalize(torch.randn(3, 11, 5, generator=generator, dtype=dtype), dim=-1)
    labels = torch.randint(0, 4, (3, 11), generator=generator)
    labels[0, :3] = 255
    labels[1] = torch.tensor([0] * 9 + [1, -100])  # one class alone, one with a single row
    return embeddings, labels


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_keys_and_labels_equal_the_loops(dtype):
    embeddings, labels = rows(dtype)
    keys, key_labels = region_keys(embeddings, labels, 4)
    wanted, wanted_labels = reference.region_keys(embeddings, labels, 4)
    assert keys.dtype == dtype
    torch.testing.assert_close(keys.double(), wanted, rtol=1e-6, atol=1e-6)
    assert torch.equal(key_labels, wanted_labels)
    assert (key_labels == -1).sum() >= 3  # image 1: a single row of class 1, none of 2 and 3


def test_they_are_constants():
    embeddings, labels = rows()
    keys, _ = region_keys(embeddings.requires_grad_(), labels, 4)
    assert not keys.requires_grad


@pytest.mark.parametrize('shape', [(0, 3), (2, 0), (2, 3)])
def test_nothing_to_average_gives_empty_slots(shape):
    keys, labels = region_keys(torch.ones(*shape, 2), torch.full(shape, 255), 3)
    assert keys.shape == (shape[0] * 3, 2)
    assert (labels == -1).all()
    assert not keys.any()


def test_opposite_rows_have_no_direction_and_stay_finite():
    embeddings = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    keys, labels = region_keys(embeddings, torch.tensor([[0, 0]]), 1)
    assert labels.tolist() == [0]
    assert keys.isfinite().all()


@pytest.mark.parametrize(
    ('dtype', 'number', 'error'),
    [(torch.float16, 100_000, 2e-3), (torch.bfloat16, 4000, 1e-4)],  # the first one overflows
)
def test_half_precision_is_summed_in_float32(dtype, number, error):
    generator = torch.Generator().manual_seed(0)
    row = F.normalize(torch.randn(1, 1, 8, generator=generator), dim=-1).to(dtype)
    labels = torch.zeros(1, number, dtype=torch.long)
    keys, _ = region_keys(row.expand(1, number, 8), labels, 1)
    assert keys.dtype == torch.float32
    torch.testing.assert_close(keys, F.normalize(row.float(), dim=-1)[0], atol=error, rtol=0)
