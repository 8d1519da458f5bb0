"""Labels as indices of classes, whatever integer type they have."""

from __future__ import annotations

from torch import Tensor


def class_index(labels: Tensor, num_classes: int, ignore_index: int | None = None) -> Tensor:
    """Return int64 indices in [0, C], where C stands for every label that counts as no class.

    Labels are widened before they are compared: PyTorch compares a tensor with a number in the
    type of the tensor, and of uint8 labels would say that 156 is -100.

    Args:
        labels: integer, any shape and type.
        num_classes: C.
        ignore_index: a label that counts as no class even inside [0, C); None = there is none.

    Example:
        >>> import torch
        >>> class_index(torch.tensor([0, 2, 156, 255], dtype=torch.uint8), 200, -100)
        tensor([  0,   2, 156, 200])
    """
    index = labels.long()
    outside = (index < 0) | (index >= num_classes)
    if ignore_index is not None:
        outside |= index == ignore_index
    return index.masked_fill(outside, num_classes)
