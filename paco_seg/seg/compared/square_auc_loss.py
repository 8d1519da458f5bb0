"""Square AUC loss of AUCSeg, beside cross entropy."""

from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_range
from paco_seg.core.compared.auc import square_auc_loss
from paco_seg.seg.compared.unweighted_loss import UnweightedLoss

KEY = 'SquareAUCLoss'


@MODELS.register_module()
class SquareAUCLoss(UnweightedLoss):
    """Pairs of classes whose scores should be apart (AUCSeg, arXiv 2409.20398).

    Its scores are sigmoids of the logits; all pixels of a rank are one batch. A batch of fewer than
    two classes has loss 0 (the released code divides by 0, and crashes without any). ::

        loss_decode=[
            dict(type='CrossEntropyLoss', loss_name='loss_ce'),
            dict(type='SquareAUCLoss', loss_weight=1.0)]

    Args:
        gamma: margin of the scores, > 0.
        loss_weight: factor of the loss, >= 0; the released configs have 4 on ADE20K, 1 on
            Cityscapes and COCO-Stuff.
        loss_name: key of the loss in the log.

    Raises:
        ValueError: a setting is out of range.
    """

    over = 'pairs of pixels'

    def __init__(
        self, *, gamma: float = 1.0, loss_weight: float = 1.0, loss_name: str = 'loss_auc'
    ) -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)
        check_range(f'{KEY}.gamma', gamma, low=0.0, low_open=True)
        self.gamma = gamma

    def batch_value(self, cls_score: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        """Return the loss of a batch."""
        return square_auc_loss(cls_score, label, gamma=self.gamma, ignore_index=ignore_index)

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'gamma={self.gamma}, {super().extra_repr()}'
