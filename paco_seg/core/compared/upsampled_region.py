"""Region means at the resolution of the labels, without upsampled features.

The published code of Region Rebalance and CeCo upsamples the feature map to the size of the labels
(bilinear) and averages there, so that a class of a few label pixels has a region although no point
of the decoder grid carries its label. An upsampled feature is a sum of four features of the grid:
the mean of a class is one product of its weights on the grid with the features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.checks import (
    check_choice,
    check_integer,
    check_labels,
    check_shape,
    compute_dtype,
)
from paco_seg.core.compared.region import GROUPINGS, region_means
from paco_seg.core.labels import class_index


def upsampled_region_means(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    ignore_index: int = 255,
    grouping: str = 'batch',
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """Average the upsampled features of each class over its label pixels.

    Equals ``region_means(F.interpolate(features, labels.shape[1:], mode='bilinear'), labels)``, but
    neither features nor one-hot labels exist at label resolution: every label pixel adds its four
    bilinear weights to a matrix of (C + 1) h w numbers per image, and this matrix times the
    features gives the sums. For 4 images of 512 x 512, 150 classes and a grid of 128 x 128 that
    are 40 MiB instead of 600 MiB of one-hot labels and 512 MiB of features.

    Args:
        features: (B, D, h, w), any floating dtype.
        labels: (B, H, W) integer in [0, C) or ``ignore_index``, of any size.
        num_classes: C.
        ignore_index: label of pixels without a class; it belongs to no region.
        grouping: as in :func:`paco_seg.core.compared.region.region_means`.
        align_corners: as in :func:`torch.nn.functional.interpolate`.

    Returns:
        Means (G, C, D), float32 (float64 for float64 input), zero where the class is absent; and
        present (G, C) bool.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: labels are not integers.
        ValueError: a label is neither a class nor ``ignore_index``, or the grouping is unknown.
    """
    check_choice('grouping', grouping, GROUPINGS)
    check_shape('features', features, ('B', 'D', 'h', 'w'))
    batch, _, height, width = features.shape
    check_shape('labels', labels, (batch, 'H', 'W'))
    if labels.shape[1:] == features.shape[2:]:  # nothing to interpolate
        return region_means(
            features, labels, num_classes, ignore_index=ignore_index, grouping=grouping
        )
    check_integer('labels', labels)
    check_labels('labels', labels, num_classes, allowed=(ignore_index,))

    dtype = compute_dtype(features)
    slots = num_classes + 1  # the last one of each image collects the ignored pixels
    index = class_index(labels, num_classes, ignore_index)
    index = index + slots * torch.arange(batch, device=index.device).view(-1, 1, 1)
    counts = index.new_zeros(batch * slots)
    counts = counts.index_add(0, index.flatten(), torch.ones_like(index).flatten())
    weights = _weights(index, (height, width), batch * slots, align_corners, dtype)
    weights = weights.view(batch, slots, height * width)[:, :num_classes]
    # Points that only ignored pixels look at may hold anything, even NaN, which a zero weight
    # would not remove.
    unused = (weights == 0).all(dim=1, keepdim=True)
    with torch.autocast(device_type=features.device.type, enabled=False):
        points = features.to(dtype).flatten(2).masked_fill(unused, 0.0)
        sums = torch.bmm(weights, points.transpose(1, 2))
    counts = counts.view(batch, slots)[:, :num_classes]
    if grouping == 'batch':
        sums, counts = sums.sum(dim=0, keepdim=True), counts.sum(dim=0, keepdim=True)
    return sums / counts.clamp(min=1).unsqueeze(-1), counts > 0


def _weights(
    index: Tensor, grid: tuple[int, int], slots: int, align_corners: bool, dtype: torch.dtype
) -> Tensor:
    """Add up the bilinear weights of the label pixels of each slot on each point of the grid.

    Args:
        index: (B, H, W) int64 in [0, slots).
        grid: (h, w).
        slots: of all images together.
        align_corners: of the interpolation.
        dtype: of the result.

    Returns:
        (slots * h * w,), slot by slot.
    """
    height, width = grid
    device = index.device
    weights = torch.zeros(slots * height * width, dtype=dtype, device=device)
    start = index * (height * width)
    for row, row_weight in _neighbours(height, index.shape[1], align_corners, device):
        for column, column_weight in _neighbours(width, index.shape[2], align_corners, device):
            places = row.unsqueeze(1) * width + column
            shares = (row_weight.unsqueeze(1) * column_weight).to(dtype)
            weights.index_add_(0, (start + places).flatten(), shares.expand_as(index).flatten())
    return weights


def _neighbours(
    small: int, large: int, align_corners: bool, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Return the lower and the upper neighbour of each of ``large`` places, with their weights.

    Args:
        small: points of the grid along one side.
        large: label pixels along that side.
        align_corners: of the interpolation.
        device: of the result; made there, because a copy would make the host wait.

    Returns:
        Two pairs of indices (large,) int64 in [0, small) and weights (large,) float64.
    """
    places = torch.arange(large, dtype=torch.float64, device=device)
    if align_corners:
        source = places * ((small - 1) / max(large - 1, 1))
    else:
        source = ((places + 0.5) * (small / large) - 0.5).clamp(min=0.0)
    lower = source.floor().long().clamp(max=small - 1)
    upper = (lower + 1).clamp(max=small - 1)
    share = (source - lower).clamp(max=1.0)
    return [(lower, 1.0 - share), (upper, share)]
