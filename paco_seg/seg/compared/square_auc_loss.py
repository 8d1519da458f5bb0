"""Square AUC loss of AUCSeg, beside cross entropy."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_range
from paco_seg.core.compared.auc import square_auc_loss
from paco_seg.seg.losses.loss_name import check_loss_name

KEY = 'SquareAUCLoss'


@MODELS.register_module()
class SquareAUCLoss(nn.Module):
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

    def __init__(
        self, *, gamma: float = 1.0, loss_weight: float = 1.0, loss_name: str = 'loss_auc'
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.gamma', gamma, low=0.0, low_open=True)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_loss_name(f'{KEY}.loss_name', loss_name)
        self.gamma = gamma
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
            weight: factors of the pixels: none, for the loss is one of pairs.
            ignore_index: label of pixels without a loss.
            **kwargs: what heads pass to the losses of others.

        Raises:
            ValueError: there are weights.
        """
        if weight is not None:
            raise ValueError(
                'sampler: expected none beside SquareAUCLoss, which is one of pairs of pixels, got '
                'one that weights pixels. Remove it'
            )
        value = square_auc_loss(cls_score, label, gamma=self.gamma, ignore_index=ignore_index)
        return self.loss_weight * value

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'gamma={self.gamma}, loss_weight={self.loss_weight}'
