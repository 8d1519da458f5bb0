"""What a contrast did in one step: pairs, cosines to the centers, the centers among each other.

Numbers for a picture of the training; none of them takes gradient, and nothing here waits for a
device. :class:`paco_seg.engine.hooks.ContrastDiagnosticsHook` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paco_seg.core.contrast import EMPTY
from paco_seg.core.embeddings import unit_rows
from paco_seg.core.labels import class_index

# Rows of the cosine matrix of the centers that are formed at a time: 21 841 classes fit.
_ROWS = 1024


class PairCounts(NamedTuple):
    """How many rows each anchor is contrasted with.

    Args:
        positives: (G, N) int64, |P(i)|.
        negatives: (G, N) int64, the other rows of S(i).
    """

    positives: Tensor
    negatives: Tensor


class CenterGeometry(NamedTuple):
    """Cosines between the centers of different classes.

    Args:
        mean: scalar.
        spread: scalar, their standard deviation.
        simplex: the same cosine of every pair in a simplex, -1 / (C - 1): the mean that centers
            as far apart as possible have, with a spread of 0.
    """

    mean: Tensor
    spread: Tensor
    simplex: float


@torch.no_grad()
def pair_counts(
    labels: Tensor,
    num_classes: int,
    *,
    ignore_index: int | None = None,
    contrast_ignored: bool = True,
    key_labels: Tensor | None = None,
) -> PairCounts:
    """Count the positives and the negatives of every row, as the loss contrasts them.

    Args:
        labels: (G, N) integer, in [0, C) or ``ignore_index``.
        num_classes: C.
        ignore_index: label of rows that are not anchors; what is counted for them has no meaning.
        contrast_ignored: whether ignored rows are negatives of the others.
        key_labels: (M,) integer; -1 marks an empty slot.

    Returns:
        Two tensors (G, N).

    Example:
        >>> counts = pair_counts(torch.tensor([[0, 0, 1]]), 2, key_labels=torch.tensor([1, -1]))
        >>> counts.positives, counts.negatives
        (tensor([[1, 1, 1]]), tensor([[2, 2, 2]]))
    """
    rows = class_index(labels, num_classes, ignore_index)  # C: ignored
    counts = labels.new_zeros((len(labels), num_classes + 1), dtype=torch.long)
    counts.scatter_add_(1, rows, torch.ones_like(rows))
    if key_labels is not None:
        keys = class_index(key_labels, num_classes, ignore_index)
        present = (key_labels.long() != EMPTY).long()
        counts += torch.zeros_like(counts[0]).scatter_add_(0, keys, present)
    if not contrast_ignored:
        counts[:, num_classes] = 0
    same = counts.gather(1, rows)
    return PairCounts(same - 1, counts.sum(dim=1, keepdim=True) - same)


@torch.no_grad()
def center_cosines(features: Tensor, labels: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine of each sample to its own center, and to the nearest other one.

    Args:
        features: (N, D) of any length.
        labels: (N,) int64 in [0, C).
        centers: (C, D) of any length, C > 1.

    Returns:
        Two tensors (N,), float32 (float64 for float64 input).

    Example:
        >>> center_cosines(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), torch.eye(2))
        (tensor([1.]), tensor([0.]))
    """
    with torch.autocast(device_type=features.device.type, enabled=False):
        cosines = unit_rows(features) @ unit_rows(centers.to(features)).T
    own = cosines.gather(1, labels.unsqueeze(1))
    others = cosines.scatter(1, labels.unsqueeze(1), -torch.inf)
    return own.squeeze(1), others.amax(dim=1)


@torch.no_grad()
def center_geometry(centers: Tensor) -> CenterGeometry:
    """Return mean and spread of the cosines between centers, and those of a simplex.

    Args:
        centers: (C, D) of any length, C > 1.

    Returns:
        Scalars, float32 (float64 for float64 input).

    Example:
        >>> center_geometry(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])).mean
        tensor(-1.)
    """
    with torch.autocast(device_type=centers.device.type, enabled=False):
        rows = unit_rows(centers)
        number = len(rows)
        pairs = number * (number - 1)
        lengths = rows.square().sum()
        mean = (rows.sum(dim=0).square().sum() - lengths) / pairs
        # A sum of squares less the square of the mean would lose a small spread.
        squares = torch.zeros_like(mean)
        for start in range(0, number, _ROWS):
            part = rows[start : start + _ROWS] @ rows.T
            differences = (part - mean).square()
            differences.diagonal(offset=start).zero_()  # a center and itself
            squares += differences.sum()
    return CenterGeometry(mean, (squares / pairs).sqrt(), -1.0 / (number - 1))


@torch.no_grad()
def class_sums(values: Sequence[Tensor], labels: Tensor, num_classes: int) -> Tensor:
    """Sum several numbers of each sample by class.

    Args:
        values: K tensors (N,).
        labels: (N,) integer; samples whose label is no class are left out.
        num_classes: C.

    Returns:
        (C, K + 1) float64 (float32 where the device has none); the last column counts samples.
    """
    dtype = torch.float32 if labels.device.type == 'mps' else torch.float64
    # Another row takes what is left out, and is cut off.
    index = class_index(labels, num_classes)
    valid = index < num_classes
    columns = torch.stack([*(value.to(dtype) for value in values), valid.to(dtype)], dim=1)
    sums = columns.new_zeros(num_classes + 1, columns.shape[1]).index_add_(0, index, columns)
    return sums[:num_classes]


def group_means(
    sums: Tensor, groups: Mapping[str, Sequence[int]]
) -> dict[str, tuple[list[float], float]]:
    """Return the means over the samples of all classes and of each group, from :func:`class_sums`.

    The host waits for the device here, once.

    Args:
        sums: (C, K + 1).
        groups: name -> class indices.

    Returns:
        ``''`` (all classes) and the groups -> K means (NaN without samples) and the share of the
        samples.
    """
    table = sums.tolist()
    members = {'': range(len(table)), **groups}
    found = {}
    total = sum(row[-1] for row in table)
    for name, classes in members.items():
        count = sum(table[index][-1] for index in classes)
        means = [
            sum(table[index][column] for index in classes) / count if count else math.nan
            for column in range(sums.shape[1] - 1)
        ]
        found[name] = means, count / total if total else math.nan
    return found
