"""AUCSeg: a square surrogate of the one-against-one AUC of the classes, over pixels.

Han et al., AUCSeg: AUC-oriented Pixel-level Long-tail Semantic Segmentation, NeurIPS 2024
(arXiv 2409.20398). The mean over all pairs of pixels of two classes needs only the first two
moments of each score over each class: C x C numbers instead of N x N.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.checks import check_labels, check_range, check_shape, compute_dtype
from paco_seg.core.labels import class_index
from paco_seg.core.slot_sums import slot_sums


def square_auc_loss(
    logits: Tensor, labels: Tensor, *, gamma: float = 1.0, ignore_index: int = -100
) -> Tensor:
    """Return the square AUC loss of a batch.

    With scores s = sigmoid(z), the classes P that are present and K = |P|::

        L = 1 / (K (K - 1)) sum_{i in P} sum_{j in P, j != i}
                mean_{p: y_p = i, q: y_q = j} (gamma - s_i(p) + s_i(q))^2 / 2

    The mean over the pairs is the same as, with a and b the means of s_i and its square over class
    i, and c and d those over class j::

        (gamma^2 + b + d - 2 gamma a + 2 gamma c - 2 a c) / 2

    Every class counts alike, whatever its number of pixels.

    Args:
        logits: (N, C, ...), any floating dtype.
        labels: (N, ...) integer in [0, C) or ``ignore_index``.
        gamma: margin of the scores, > 0.
        ignore_index: label of pixels that are in no pair.

    Returns:
        A scalar, float32 (float64 for float64 logits); a zero attached to the graph if fewer than
        two classes are present.

    Raises:
        ShapeError: the shapes differ.
        ValueError: a label is neither a class nor ``ignore_index``, or gamma is not positive.
    """
    check_range('gamma', gamma, low=0.0, low_open=True)
    check_shape('labels', labels, (len(logits), *logits.shape[2:]))
    num_classes = logits.shape[1]
    check_labels('labels', labels, num_classes, allowed=(ignore_index,))
    dtype = compute_dtype(logits)
    with torch.autocast(device_type=logits.device.type, enabled=False):
        index = class_index(labels, num_classes, ignore_index).flatten()
        scores = logits.to(dtype).movedim(1, -1).reshape(-1, num_classes).sigmoid()
        first, second, count = _moments(scores, index)
        own, own_square = first.diagonal(), second.diagonal()
        # Row j, column i: the scores of class i against pixels of class j.
        pairs = 0.5 * (
            gamma**2 + own_square + second - 2 * gamma * own + 2 * gamma * first - 2 * own * first
        )
        present = count > 0
        used = (
            present.unsqueeze(1)
            & present
            & ~torch.eye(num_classes, dtype=torch.bool, device=labels.device)
        )
        number = used.sum().clamp(min=1)
        return (pairs.masked_fill(~used, 0.0).sum() / number).to(dtype)


def _moments(scores: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Average the scores (N, C) and their squares over the pixels of each class.

    Args:
        scores: (N, C).
        index: (N,) int64 in [0, C]; C counts nowhere.

    Returns:
        (C, C) float64, row j over the pixels of class j; the same of the squares; (C,) pixels.
    """
    num_classes = scores.shape[1]
    # Moments of float32 scores: the sums of blocks of pixels are added in float64.
    values = torch.cat([scores, scores.square(), torch.ones_like(scores[:, :1])], dim=1)
    sums = slot_sums(values.unsqueeze(0), index.unsqueeze(0), num_classes + 1, dtype=torch.float64)
    sums, count = sums[0, :num_classes, :-1], sums[0, :num_classes, -1]
    means = sums / count.clamp(min=1).unsqueeze(1)
    return means[:, :num_classes], means[:, num_classes:], count
