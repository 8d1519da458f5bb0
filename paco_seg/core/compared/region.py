"""Region Rebalance: a class-frequency-rebalanced classifier of region features, training only.

Cui et al., Region Rebalance, arXiv 2204.01969. A region feature is the mean decoder feature over
the pixels of one class. Regions, unlike pixels, occur once per class, so their frequency is the
image frequency of the class, and a softmax with that prior rebalances what the decoder learns.

Legend: B images, D channels, H x W decoder grid, C classes, G groups of images that share their
regions (1 for 'batch', B for 'image').

The last part of the file belongs to the other released design ("full RR"), which also biases the
pixel logits of an image at inference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.checks import (
    check_choice,
    check_integer,
    check_labels,
    check_prior,
    check_range,
    check_shape,
    compute_dtype,
)
from paco_seg.core.labels import class_index
from paco_seg.core.slot_sums import slot_sums

GROUPINGS = ('batch', 'image')


def region_means(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    ignore_index: int = 255,
    grouping: str = 'batch',
) -> tuple[Tensor, Tensor]:
    """Return the mean feature of the grid points of each class.

    One scatter-add: O(B H W D) work and O(G C D) memory. The published code averages upsampled
    features over label pixels instead, see :mod:`paco_seg.core.compared.upsampled_region`.
    Ignored pixels belong to no region.

    Args:
        features: (B, D, H, W), any floating dtype.
        labels: (B, H, W) integer in [0, C) or ``ignore_index``, on the grid of the features.
        num_classes: C.
        ignore_index: label of pixels without a class.
        grouping: 'batch' averages over all images of the rank together (published); 'image'
            makes regions per image.

    Returns:
        Means (G, C, D), float32 (float64 for float64 input), zero where the class is absent; and
        present (G, C) bool. Shapes do not depend on the data.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: labels are not integers.
        ValueError: a label is neither a class nor ``ignore_index``, or the grouping is unknown.
    """
    check_choice('grouping', grouping, GROUPINGS)
    check_shape('features', features, ('B', 'D', 'H', 'W'))
    batch, channels, height, width = features.shape
    check_shape('labels', labels, (batch, height, width))
    check_integer('labels', labels)
    check_labels('labels', labels, num_classes, allowed=(ignore_index,))

    groups = batch if grouping == 'image' else 1
    slots = num_classes + 1  # the last one of each group collects the ignored pixels
    index = class_index(labels, num_classes, ignore_index).view(groups, -1)
    rows = features.to(compute_dtype(features)).permute(0, 2, 3, 1).reshape(groups, -1, channels)
    sums = slot_sums(rows, index, slots)[:, :num_classes]
    counts = index.new_zeros(groups, slots).scatter_add(1, index, torch.ones_like(index))
    counts = counts[:, :num_classes]
    return sums / counts.clamp(min=1).unsqueeze(-1), counts > 0


def region_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    prior: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the weighted mean cross entropy of region logits with the log prior added.

    ``sum_r v_r CE(l_r + log prior, t_r) / sum_r v_r``, where the target t is ``1 - eps`` on the
    own class and ``eps / (C - 1)`` on the others. The published option ``smooth`` is the kept mass
    ``1 - eps`` (its default 1.0 means no smoothing, its value 0.5 is ``label_smoothing=0.5``).
    The prior enters in training only; never add it at inference.

    Args:
        logits: (..., C) region logits, any floating dtype.
        targets: (...,) int64 in [0, C).
        weights: (...,) bool or non-negative weights; regions with weight 0 have no influence.
        prior: (C,) positive region frequencies of the classes (images that contain the class);
            None = no prior. A common factor has no effect.
        label_smoothing: eps in [0, 1]; needs C > 1 when positive.

    Returns:
        A scalar in nats, float32 (float64 for float64 input); a zero attached to the graph if no
        region counts.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a prior is not positive, or the smoothing is out of range.
    """
    check_range('label_smoothing', label_smoothing, low=0.0, high=1.0)
    num_classes = logits.shape[-1]
    check_shape('targets', targets, logits.shape[:-1])
    check_shape('weights', weights, logits.shape[:-1])
    values = logits.to(compute_dtype(logits))
    weights = weights.to(values.dtype)
    # Rows without weight may hold anything, even NaN, which a zero weight would not remove.
    values = values.masked_fill((weights == 0).unsqueeze(-1), 0.0)
    if prior is not None:
        check_prior('prior', prior, num_classes)
        values = values + prior.to(values).log()
    log_probability = values.log_softmax(dim=-1)
    own = log_probability.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    if label_smoothing > 0:
        check_range('classes with label_smoothing', num_classes, low=2)
        other = label_smoothing / (num_classes - 1)
        own = (1.0 - label_smoothing - other) * own + other * log_probability.sum(dim=-1)
    return -(weights * own).sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)


def region_rebalance_loss(
    logits: Tensor,
    present: Tensor,
    *,
    prior: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the loss of classifying region k of each group as k; mean over present regions.

    Args:
        logits: (G, C, C), row k of a group from the mean feature of class k.
        present: (G, C) bool, see :func:`region_means`.
        prior: (C,) positive image frequencies; None = no prior.
        label_smoothing: eps, see :func:`region_loss` for the published convention.

    Returns:
        A scalar; a zero attached to the graph if every pixel is ignored.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a prior is not positive, or the smoothing is out of range.
    """
    check_shape('logits', logits, ('G', logits.shape[-1], 'C'))
    targets = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1])
    return region_loss(logits, targets, present, prior=prior, label_smoothing=label_smoothing)


def soft_region_means(features: Tensor, logits: Tensor) -> Tensor:
    """Return the predicted regions: means of the features weighted by the class probability.

    ``r_nc = sum_x a_nc(x) F_n(x) / sum_x a_nc(x)`` with a the softmax over classes (full RR).

    Args:
        features: (B, D, H, W), any floating dtype.
        logits: (B, C, H, W) pixel logits.

    Returns:
        (B, C, D) float32 (float64 for float64 input).

    Raises:
        ShapeError: the grids differ.
    """
    check_shape('features', features, ('B', 'D', 'H', 'W'))
    batch, _, height, width = features.shape
    check_shape('logits', logits, (batch, 'C', height, width))
    dtype = compute_dtype(features, logits)
    with torch.autocast(device_type=features.device.type, enabled=False):
        attention = logits.to(dtype).softmax(dim=1).flatten(2)
        sums = torch.matmul(attention, features.to(dtype).flatten(2).transpose(1, 2))
        # A class may have no probability left anywhere in float32: its sum is then 0 as well.
        tiny = torch.finfo(dtype).tiny
        return sums / attention.sum(dim=2, keepdim=True).clamp(min=tiny)


def image_bias(region_logits: Tensor) -> Tensor:
    """Return the logit bias of an image: mean over its C predicted regions, no extra class.

    Args:
        region_logits: (B, C, C + 1) logits of the predicted regions; the last class means absent.

    Returns:
        (B, C), to be added to every pixel of the image, in training **and at inference**.

    Raises:
        ShapeError: the last two sizes do not fit.
    """
    check_shape('region_logits', region_logits, ('B', 'C', region_logits.shape[1] + 1))
    return region_logits[:, :, :-1].mean(dim=1)


def classes_in_image(labels: Tensor, num_classes: int, *, ignore_index: int = 255) -> Tensor:
    """Tell which classes have a pixel in each image.

    Args:
        labels: (B, H, W) integer in [0, C) or ``ignore_index``.
        num_classes: C.
        ignore_index: label of pixels without a class.

    Returns:
        (B, C) bool.

    Raises:
        ShapeError: ``labels`` is no batch of maps.
        ValueError: a label is neither a class nor ``ignore_index``.
    """
    check_shape('labels', labels, ('B', 'H', 'W'))
    check_integer('labels', labels)
    check_labels('labels', labels, num_classes, allowed=(ignore_index,))
    index = class_index(labels, num_classes, ignore_index).flatten(1)
    found = torch.zeros(len(labels), num_classes + 1, dtype=torch.bool, device=labels.device)
    return found.scatter(1, index, True)[:, :num_classes]


def suppress_absent(logits: Tensor, present: Tensor, *, released: bool = True) -> Tensor:
    """Take the logits of classes that the image does not contain out of the comparison.

    Args:
        logits: (B, C, H, W).
        present: (B, C) bool.
        released: True multiplies them by 0, as the published code does: an absent class keeps
            logit 0, hence a positive probability. False gives them probability 0.

    Returns:
        (B, C, H, W), same dtype.

    Raises:
        ShapeError: the sizes do not fit.
    """
    check_shape('logits', logits, (present.shape[0], present.shape[-1], 'H', 'W'))
    # A finite minimum, not -inf: an image without any class would give NaN gradients.
    fill = 0.0 if released else torch.finfo(logits.dtype).min
    return logits.masked_fill(~present[:, :, None, None], fill)


def predicted_region_loss(
    region_logits: Tensor,
    present: Tensor,
    *,
    prior: Tensor | None = None,
    label_smoothing: float = 0.0,
    absent_weight: float = 1.0,
) -> Tensor:
    """Return the loss of predicted regions: class c is c if present, else the extra class.

    Args:
        region_logits: (B, C, C + 1).
        present: (B, C) bool.
        prior: (C + 1,) positive; the published prior is the image frequencies (sum 1) followed by
            1 for the extra class, which favours it strongly.
        label_smoothing: eps over the C + 1 classes, see :func:`region_loss`.
        absent_weight: weight of the regions of absent classes, >= 0. The published option acts
            as a switch only (an operator precedence slip): any value but 0 counted as 1.

    Returns:
        A scalar.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a setting is out of range.
    """
    check_range('absent_weight', absent_weight, low=0.0)
    check_shape('region_logits', region_logits, ('B', 'C', region_logits.shape[1] + 1))
    check_shape('present', present, region_logits.shape[:2])
    num_classes = region_logits.shape[1]
    classes = torch.arange(num_classes, device=present.device).expand_as(present)
    targets = classes.where(present, torch.full_like(classes, num_classes))
    weights = torch.ones_like(present, dtype=torch.float32).where(present, absent_weight * 1.0)
    return region_loss(
        region_logits, targets, weights, prior=prior, label_smoothing=label_smoothing
    )
