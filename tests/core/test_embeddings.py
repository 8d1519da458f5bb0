from __future__ import annotations

import pytest
import torch

from paco_seg.core.embeddings import unit_rows


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rows_have_unit_length_in_float32_at_least(dtype):
    rows = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    unit = unit_rows(rows)
    assert unit.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    expected = rows.double() / rows.double().square().sum(dim=-1, keepdim=True).sqrt()
    torch.testing.assert_close(unit.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('size', [0.0, 6e-8, 1e-6, 1e-4, 1e-3, 1e-2])
def test_gradients_of_tiny_rows_stay_finite(dtype, size):
    rows = torch.full((1, 3), size).to(dtype).requires_grad_()
    # What a pixel of the loss may send back at T = 0.05, with a loss weight of 5.
    unit_rows(rows).backward(torch.tensor([[400.0, -400.0, 0.0]]))
    assert torch.isfinite(rows.grad).all()
    assert torch.isfinite(unit_rows(rows)).all()


def test_only_half_precision_has_a_shortest_length_that_matters():
    short = torch.tensor([[3e-4, 4e-4]])
    torch.testing.assert_close(unit_rows(short), torch.tensor([[0.6, 0.8]]))
    assert unit_rows(short.half()).norm() < 0.1
