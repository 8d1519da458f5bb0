"""Region means as keys: one further contrast row for each class of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.contrast import EMPTY
from paco_seg.core.embeddings import unit_rows
from paco_seg.core.labels import class_index
from paco_seg.core.slot_sums import slot_sums

# The mean of one row is that row, which would be contrasted with itself.
MIN_MEMBERS = 2


@torch.no_grad()
def region_keys(embeddings: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean direction of the rows of each class in each set, as keys.

    A rare class that meets no member of its own in an image meets its regions in the others, and
    a region counts once however many pixels it has. The keys are constants, like those of a
    queue: gradient reaches the rows as anchors alone, not a second time through the means, and no
    process waits for the gradient of another.

    Args:
        embeddings: (G, N, D) unit rows.
        labels: (G, N) integer; everything outside [0, C) belongs to no region.
        num_classes: C.

    Returns:
        Keys (G C, D) of unit length, in float32 at least, and their labels (G C,) int64. A class
        with fewer than two rows in a set is an empty slot there: zeros and the label -1. Shapes do
        not depend on the data.

    Example:
        >>> rows, labels = torch.eye(2)[[0, 0, 1]], torch.tensor([0, 0, 1])
        >>> region_keys(rows.unsqueeze(0), labels.unsqueeze(0), 2)
        (tensor([[1., 0.],
                [0., 0.]]), tensor([ 0, -1]))
    """
    sets = len(embeddings)
    slots = num_classes + 1  # one more for rows without a class
    index = class_index(labels, num_classes)
    rows = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
    sums = slot_sums(rows, index, slots)[:, :num_classes]
    counts = index.new_zeros(sets, slots).scatter_add(1, index, torch.ones_like(index))
    present = counts[:, :num_classes] >= MIN_MEMBERS
    classes = torch.arange(num_classes, device=labels.device).expand(sets, -1)
    keys = unit_rows(sums).masked_fill(~present.unsqueeze(-1), 0.0)
    return keys.flatten(0, 1), classes.masked_fill(~present, EMPTY).flatten()
