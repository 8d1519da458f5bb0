"""Softmax losses in place of ``CrossEntropyLoss`` that differ in the value of a pixel alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses.utils import weight_reduce_loss
from torch import Tensor

from paco_seg.core.checks import compute_dtype


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


class PixelwiseLoss(CrossEntropyLoss):
    """A loss whose pixels are reduced as those of ``CrossEntropyLoss``.

    The mean is over all pixels, or over those that are not ignored with ``avg_non_ignore``; over
    the class weights of these pixels if there are any.
    """

    @abstractmethod
    def pixel_values(
        self, cls_score: Tensor, label: Tensor, class_weight: Tensor | None, ignore_index: int
    ) -> Tensor:
        """Return the values (N, ...) of the pixels, class weights included, 0 where ignored."""

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        **kwargs: Any,
    ) -> Tensor:
        """Return the loss of raw logits (N, C, ...) and labels (N, ...).

        Args:
            cls_score: (N, C, ...).
            label: (N, ...) int64.
            weight: (N, ...) factors of the pixels, such as those of a pixel sampler.
            avg_factor: what the sum is divided by; None = see the class.
            reduction_override: 'none', 'mean' or 'sum' instead of the setting.
            ignore_index: label of pixels without a loss.
            **kwargs: what heads pass to the losses of others.
        """
        class_weight = None
        if self.class_weight is not None:  # their sum has no place in half precision
            class_weight = cls_score.new_tensor(self.class_weight, dtype=compute_dtype(cls_score))
        values = self.pixel_values(cls_score, label, class_weight, ignore_index)
        reduction = reduction_override or self.reduction
        if avg_factor is None and reduction == 'mean':
            valid = label != ignore_index
            if class_weight is not None:
                own = class_weight[label.masked_fill(~valid, 0)]
                avg_factor = own.masked_fill(~valid, 0.0).sum()
            elif self.avg_non_ignore:
                avg_factor = valid.sum()
            else:
                avg_factor = label.numel()
        weight = None if weight is None else weight.float()
        return self.loss_weight * weight_reduce_loss(values, weight, reduction, avg_factor)
