"""Focal loss of a softmax over classes.

Lin et al., Focal Loss for Dense Object Detection, arXiv 1708.02002, eq. 4, with the probability of
the true class of a softmax in place of that of a sigmoid.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from paco_seg.core.checks import check_range


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Return ``-w_y (1 - p_y)^gamma log p_y`` of each sample or pixel.

    Args:
        logits: (N, C, ...).
        labels: (N, ...) int64, in [0, C) or ``ignore_index``.
        gamma: >= 0; 0 is cross entropy.
        class_weight: (C,) or None.
        ignore_index: label of samples whose loss is 0.

    Returns:
        (N, ...), in nats; float32 for half-precision logits.

    Raises:
        ValueError: gamma is negative.
    """
    check_range('gamma', gamma, low=0.0)
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    nats = F.cross_entropy(logits, labels, reduction='none', ignore_index=ignore_index)
    # 1 - p = -expm1(log p) keeps its digits for p near 1. The clamp keeps the power, whose
    # derivative at 0 is infinite for gamma < 1, away from 0: a sure pixel has no gradient anyway.
    doubt = -(-nats).expm1()
    values = nats * doubt.clamp(min=1e-12).pow(gamma) if gamma > 0 else nats
    if class_weight is not None:
        own = class_weight.to(values)[labels.clamp(0, len(class_weight) - 1)]
        values = values * own
    return values
