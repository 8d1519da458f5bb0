"""LDAM: label-distribution-aware margins on a cosine classifier, with deferred re-weighting.

Cao et al., arXiv 1906.07413. The margins follow eq. 13; the weights of the deferred re-weighting
(DRW, section 3.3) are the inverse effective numbers of arXiv 1901.05555.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core.checks import check_labels, check_prior, check_range, check_shape, compute_dtype
from paco_seg.core.compared.balanced_softmax import cross_entropy_per_sample
from paco_seg.core.frequency import effective_numbers


def cosine_logits(features: Tensor, weight: Tensor) -> Tensor:
    """Return the cosine of every feature with every class vector, in [-1, 1].

    Args:
        features: (N, D), any floating dtype.
        weight: (C, D) class vectors.

    Returns:
        (N, C) float32 (float64 for float64 input).

    Raises:
        ShapeError: the widths differ.
    """
    check_shape('features', features, ('N', 'D'))
    check_shape('weight', weight, ('C', features.shape[1]))
    dtype = compute_dtype(features, weight)
    with torch.autocast(device_type=features.device.type, enabled=False):
        return F.linear(F.normalize(features.to(dtype)), F.normalize(weight.to(dtype)))


def ldam_margins(class_counts: Tensor, max_margin: float = 0.5) -> Tensor:
    """Return the margin of each class, ``max_margin * n_j^(-1/4) / max_k n_k^(-1/4)``.

    Args:
        class_counts: (C,) positive training counts.
        max_margin: margin of the rarest class, in units of the cosine, > 0.

    Returns:
        (C,) float32 (float64 for float64 input).

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a count or ``max_margin`` is not positive.
    """
    check_prior('class_counts', class_counts, class_counts.shape[-1] if class_counts.dim() else 0)
    check_range('max_margin', max_margin, low=0.0, low_open=True)
    roots = class_counts.double().pow(-0.25)
    dtype = torch.float64 if class_counts.dtype == torch.float64 else torch.float32
    return (max_margin * roots / roots.max()).to(dtype)


def drw_weights(
    class_counts: Tensor, epoch: float, *, start_epoch: float = 160, beta: float = 0.9999
) -> Tensor:
    """Return weights of deferred re-weighting: 1 before ``start_epoch``, then inverse effective.

    The second phase lasts until the end of training, however long that is.

    Args:
        class_counts: (C,) positive training counts.
        epoch: current epoch, from 0; with fractions where a training counts iterations.
        start_epoch: first epoch of the weighted phase.
        beta: of the effective number, in [0, 1).

    Returns:
        (C,) float32 (float64 for float64 input) that sums to C.

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a count is not positive, or beta is out of range.
    """
    inverse = 1.0 / effective_numbers(class_counts, beta)
    if epoch < start_epoch:
        inverse = torch.ones_like(inverse)
    dtype = torch.float64 if class_counts.dtype == torch.float64 else torch.float32
    return (inverse * (inverse.numel() / inverse.sum())).to(dtype)


def ldam_loss(cosines: Tensor, labels: Tensor, margins: Tensor, *, scale: float = 30.0) -> Tensor:
    """Return the LDAM loss of each sample: ``CE(scale * (cos - margin_y on own class), y)``.

    Args:
        cosines: (N, C) in [-1, 1], see :func:`cosine_logits`.
        labels: (N,) int64 in [0, C).
        margins: (C,), see :func:`ldam_margins`.
        scale: factor s on the cosines, > 0.

    Returns:
        (N,) float32 (float64 for float64 input), unweighted; average with
        :func:`class_weighted_mean`.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: ``scale`` is not positive, or a label is no class.
    """
    check_shape('cosines', cosines, ('N', 'C'))
    check_shape('labels', labels, (cosines.shape[0],))
    check_shape('margins', margins, (cosines.shape[1],))
    check_range('scale', scale, low=0.0, low_open=True)
    values = cosines.to(compute_dtype(cosines))
    own = labels.unsqueeze(1) == torch.arange(values.shape[1], device=values.device)
    shifted = torch.where(own, values - margins.to(values), values)
    return cross_entropy_per_sample(scale * shifted, labels)


def class_weighted_mean(values: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """Return ``sum_i w_{y_i} v_i / sum_i w_{y_i}``, the weighted mean of torch's cross entropy.

    Args:
        values: (N,) losses.
        labels: (N,) int64 in [0, C).
        class_weights: (C,) non-negative.

    Returns:
        A scalar; a zero attached to the graph for N = 0.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a label is no class.
    """
    check_shape('values', values, ('N',))
    check_shape('labels', labels, (values.shape[0],))
    check_labels('labels', labels, class_weights.shape[0])
    weights = class_weights.to(values)[labels.long()]
    return (weights * values).sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)
