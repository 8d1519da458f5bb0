"""Weights of the classes in cross entropy, by their frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.checks import check_choice, check_shape
from paco_seg.core.frequency import effective_numbers

WEIGHTINGS = ('inverse', 'effective-number')


def class_weights(
    class_counts: Tensor, *, weighting: str = 'effective-number', beta: float = 0.999
) -> Tensor:
    """Return ``w_c`` proportional to ``1 / n_c``, or to ``1 / E_c`` of Cui et al. (1901.05555).

    Scaled so that the mean over the training samples is 1, ``sum_c n_c w_c = sum_c n_c``: a loss
    that divides by the number of samples keeps its size, and the learning rate its meaning.

    Args:
        class_counts: (C,) counts of training samples, >= 0 and not all 0.
        weighting: 'inverse', or 'effective-number' with ``E_c = (1 - beta^n_c) / (1 - beta)``.
        beta: of the effective number, in [0, 1); 0 weights all classes alike.

    Returns:
        (C,) float64; 0 for a class without samples, which no sample has.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a count is negative, all are 0, or a setting is out of range.
    """
    check_shape('class_counts', class_counts, ('C',))
    check_choice('weighting', weighting, WEIGHTINGS)
    counts = class_counts.double()
    present = counts > 0
    if not bool(present.any()) or bool((counts < 0).any()):
        raise ValueError(
            'class_counts: expected counts >= 0 that are not all 0, got '
            f'{class_counts.tolist()!r:.80}. Count the training set'
        )
    own = counts[present]
    inverse = 1.0 / (own if weighting == 'inverse' else effective_numbers(own, beta))
    weights = torch.zeros_like(counts)
    weights[present] = inverse * (own.sum() / (own * inverse).sum())
    return weights
