"""Dice loss beside cross entropy, class by class."""

from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.compared.dice import dice_loss
from paco_seg.seg.compared.unweighted_loss import UnweightedLoss


@MODELS.register_module()
class SoftmaxDiceLoss(UnweightedLoss):
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

    over = 'areas'

    def __init__(self, *, loss_weight: float = 1.0, loss_name: str = 'loss_dice') -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)

    def batch_value(self, cls_score: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        """Return the loss of a batch."""
        return dice_loss(cls_score, label, ignore_index=ignore_index)
