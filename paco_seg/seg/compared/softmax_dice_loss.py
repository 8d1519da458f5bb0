"""Dice loss beside cross entropy, class by class."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_range
from paco_seg.core.compared.dice import dice_loss
from paco_seg.seg.losses.loss_name import check_loss_name

KEY = 'SoftmaxDiceLoss'


@MODELS.register_module()
class SoftmaxDiceLoss(nn.Module):
    """One minus the mean overlap of the classes (V-Net, arXiv 1606.04797, section 3).

    MMSegmentation's ``DiceLoss`` takes one overlap of all classes together, in which a class counts
    by its pixels, and ignored pixels enter its denominator. Here every class that the batch holds
    counts alike, and ignored pixels nowhere. All pixels of a rank are one batch. ::

        loss_decode=[
            dict(type='CrossEntropyLoss', loss_name='loss_ce'),
            dict(type='SoftmaxDiceLoss', loss_weight=1.0)]

    Args:
        loss_weight: factor of the loss, >= 0.
        loss_name: key of the loss in the log.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(self, *, loss_weight: float = 1.0, loss_name: str = 'loss_dice') -> None:
        super().__init__()
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_loss_name(f'{KEY}.loss_name', loss_name)
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> Tensor:
        """Return the loss of raw logits (N, C, ...) and labels (N, ...).

        Args:
            cls_score: (N, C, ...).
            label: (N, ...) int64.
            weight: factors of the pixels: none, for the loss is one of areas.
            ignore_index: label of pixels without a loss.
            **kwargs: what heads pass to the losses of others.

        Raises:
            ValueError: there are weights.
        """
        if weight is not None:
            raise ValueError(
                'sampler: expected none beside SoftmaxDiceLoss, which is one of areas, got one '
                'that weights pixels. Remove it'
            )
        return self.loss_weight * dice_loss(cls_score, label, ignore_index=ignore_index)

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'loss_weight={self.loss_weight}'
