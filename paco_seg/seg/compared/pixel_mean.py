"""The mean over pixels as the stock ``CrossEntropyLoss`` takes it, for losses in its place."""

from __future__ import annotations

from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses.utils import weight_reduce_loss
from torch import Tensor


def check_softmax(loss: CrossEntropyLoss, key: str, instead: str) -> None:
    """Refuse the sigmoid and mask losses that ``CrossEntropyLoss`` has as well.

    Args:
        loss: a loss that extends it, built.
        key: registered name.
        instead: why, or what to use.

    Raises:
        ValueError: ``use_sigmoid`` or ``use_mask`` is set.
    """
    if loss.use_sigmoid or loss.use_mask:
        raise ValueError(
            f'{key}.use_sigmoid: expected a softmax loss '
            f'(use_sigmoid=False, use_mask=False), got a sigmoid or mask loss. {instead}'
        )


def reduced(
    loss: CrossEntropyLoss,
    values: Tensor,
    label: Tensor,
    *,
    class_weight: Tensor | None,
    ignore_index: int,
    weight: Tensor | None = None,
    avg_factor: float | Tensor | None = None,
    reduction_override: str | None = None,
) -> Tensor:
    """Return the weighted mean or sum of the values of pixels, times the weight of the loss.

    The mean is over all pixels, or over those that are not ignored with ``avg_non_ignore``; over
    the class weights of these pixels if there are any.

    Args:
        loss: whose settings count.
        values: (N, ...) of the pixels, class weights included, 0 where ignored.
        label: (N, ...) int64.
        class_weight: (C,) or None.
        ignore_index: label of pixels without a loss.
        weight: (N, ...) factors of the pixels, such as those of a pixel sampler.
        avg_factor: what the sum is divided by; None = see above.
        reduction_override: 'none', 'mean' or 'sum' instead of the setting.
    """
    reduction = reduction_override or loss.reduction
    if avg_factor is None and reduction == 'mean':
        valid = label != ignore_index
        if class_weight is not None:
            own = class_weight[label.masked_fill(~valid, 0)]
            avg_factor = own.masked_fill(~valid, 0.0).sum()
        elif loss.avg_non_ignore:
            avg_factor = valid.sum()
        else:
            avg_factor = label.numel()
    weight = None if weight is None else weight.float()
    return loss.loss_weight * weight_reduce_loss(values, weight, reduction, avg_factor)
