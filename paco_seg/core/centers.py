"""Class centers: the logits of the classifier as similarities to learnable centers."""

from __future__ import annotations

import torch
from torch import Tensor

# Added to the prior before the logarithm (recipes of PaCo, arXiv 2107.12028, released code).
PRIOR_EPS = 1e-9


def adjust_center_logits(
    center_logits: Tensor, class_prior: Tensor | None, center_temperature: float
) -> Tensor:
    """Return the center logits as they enter the softmax (PaCo, arXiv 2107.12028, eq. 5, 3.4).

    Args:
        center_logits: (..., C), output of the classifier whose rows are the centers.
        class_prior: (C,) class probabilities, or None; ``log(prior + 1e-9)`` is added.
        center_temperature: divides the sum of both, > 0.

    Returns:
        (..., C), same dtype as ``center_logits``.
    """
    if class_prior is not None:
        center_logits = center_logits + torch.log(class_prior.to(center_logits) + PRIOR_EPS)
    if center_temperature != 1.0:
        center_logits = center_logits / center_temperature
    return center_logits


def center_target_sum(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Sum of the adjusted center logits weighted by the (smoothed) one-hot center target.

    The target is ``1 - eps`` on the true class and ``eps / (C - 1)`` on every other class, the
    convention of the released GPaCo code (not the ``eps / C`` of ``torch``).

    Args:
        logits: (..., C) adjusted center logits.
        targets: (...,) int64 in [0, C).
        label_smoothing: eps in [0, 1); needs C > 1 when positive.

    Returns:
        (...,) the weighted sums; the weights of one row sum to 1.
    """
    own = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    if label_smoothing == 0.0:
        return own
    other_weight = label_smoothing / (logits.shape[-1] - 1)
    return (1.0 - label_smoothing - other_weight) * own + other_weight * logits.sum(-1)
