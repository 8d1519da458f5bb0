"""Rows of unit length, whose inner products are the similarities of the contrast."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Largest gradient that is expected at a unit row: 4 / T for each unit of the loss weight, so that
# T = 0.07 leaves a factor of nine.
_GRADIENT = 512.0
# Below it no dtype divides: the default of torch.nn.functional.normalize().
_SMALLEST_NORM = 1e-12


def unit_rows(rows: Tensor) -> Tensor:
    """Divide rows by their length, in float32 at least.

    Half precision would round the unit length to three digits. The gradient returns to the dtype
    of ``rows`` divided by their length, and would leave the range of float16 at a length of 1e-3:
    shorter rows are divided by a constant instead, and stay shorter than one.

    Args:
        rows: (..., D), any floating dtype.

    Returns:
        (..., D) float32, float64 for float64 input. A row of zeros stays one.
    """
    shortest = max(_SMALLEST_NORM, _GRADIENT / torch.finfo(rows.dtype).max)
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return F.normalize(wide, dim=-1, eps=shortest)
