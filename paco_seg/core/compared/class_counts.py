"""Quantities that several systems derive from the class counts of the training set."""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.checks import check_prior, check_range


def log_class_prior(class_counts: Tensor) -> Tensor:
    """Logarithm of the class frequencies, ``log(n_j / sum_k n_k)``.

    Args:
        class_counts: (C,) counts or frequencies, all positive, any scale, any numeric dtype.

    Returns:
        (C,) float32 (float64 for float64 input), in nats.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a class has no sample; its prior would be -inf.
    """
    check_prior('class_counts', class_counts, class_counts.shape[-1] if class_counts.dim() else 0)
    # The sum of integer counts and the division are done in float64: counts above 2**24 (pixels)
    # are not exact in float32.
    counts = class_counts.double()
    dtype = torch.float64 if class_counts.dtype == torch.float64 else torch.float32
    return (counts.log() - counts.sum().log()).to(dtype)


def effective_numbers(class_counts: Tensor, beta: float) -> Tensor:
    """Effective number of samples of each class, ``(1 - beta^n_j) / (1 - beta)``.

    Cui et al., Class-Balanced Loss, arXiv 1901.05555, eq. 2. It tends to n_j for beta -> 1 and is
    1 for beta = 0.

    Args:
        class_counts: (C,) positive counts of training samples.
        beta: in [0, 1).

    Returns:
        (C,) float64; computed in float64 because 1 - beta^n cancels for beta near 1.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a count is not positive, or beta is out of range.
    """
    check_prior('class_counts', class_counts, class_counts.shape[-1] if class_counts.dim() else 0)
    check_range('beta', beta, low=0.0, high=1.0 - 1e-12)
    counts = class_counts.double()
    return (1.0 - torch.pow(torch.full_like(counts, beta), counts)) / (1.0 - beta)
