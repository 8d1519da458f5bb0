"""Dice loss of a softmax, class by class.

Milletari et al., V-Net, 3DV 2016 (arXiv 1606.04797), section 3, has two classes. With more, the
overlap of each class with its label counts alike, whatever its number of pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.checks import check_labels, check_shape, compute_dtype
from paco_seg.core.labels import class_index


def dice_loss(logits: Tensor, labels: Tensor, *, ignore_index: int = -100) -> Tensor:
    """Return one minus the mean overlap of the classes that a batch holds.

    With the probabilities p of the softmax, y the labels as one-hot vectors, sums over all pixels
    of the batch that have a label, and P the classes among these::

        L = 1 - 1 / |P| sum_{c in P} 2 sum_i p_ic y_ic / (sum_i p_ic^2 + sum_i y_ic)

    The overlap of a class that is not there is 0 whatever is predicted, without a gradient.

    Args:
        logits: (N, C, ...), any floating dtype.
        labels: (N, ...) integer in [0, C) or ``ignore_index``.
        ignore_index: label of pixels that are in no sum.

    Returns:
        A scalar in [0, 1], float32 (float64 for float64 logits); a zero attached to the graph if
        no pixel has a label.

    Raises:
        ShapeError: the shapes differ.
        ValueError: a label is neither a class nor ``ignore_index``.

    Example:
        >>> logits, labels = torch.tensor([[9.0, -9.0], [-9.0, 9.0]]), torch.tensor([0, 1])
        >>> round(dice_loss(logits, labels).item(), 4)
        0.0
    """
    check_shape('labels', labels, (len(logits), *logits.shape[2:]))
    num_classes = logits.shape[1]
    check_labels('labels', labels, num_classes, allowed=(ignore_index,))
    with torch.autocast(device_type=logits.device.type, enabled=False):
        p = logits.to(compute_dtype(logits)).softmax(dim=1).movedim(1, -1).reshape(-1, num_classes)
        index = class_index(labels, num_classes, ignore_index).flatten()
        valid = (index < num_classes).unsqueeze(1)
        own = p.new_zeros(len(p), num_classes + 1).scatter_(1, index.unsqueeze(1), 1.0)[:, :-1]
        number = own.sum(dim=0)
        squares = p.square().masked_fill(~valid, 0.0).sum(dim=0)
        # With a pixel of the class the sum of squares and number is at least 1.
        overlap = 2 * (p * own).sum(dim=0) / (squares + number).clamp(min=1.0)
        present = number > 0
        lost = (1 - overlap).masked_fill(~present, 0.0).sum()
        return lost / present.sum().clamp(min=1)
