"""Focal loss in place of cross entropy, over a softmax."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_range
from paco_seg.core.compared.focal import focal_loss
from paco_seg.seg.compared.pixelwise_loss import PixelwiseLoss, check_softmax

KEY = 'SoftmaxFocalLoss'


@MODELS.register_module()
class SoftmaxFocalLoss(PixelwiseLoss):
    """Softmax cross entropy times ``(1 - p)^gamma`` (arXiv 1708.02002, eq. 4).

    MMSegmentation's ``FocalLoss`` is a sum of one sigmoid per class: a head that it trains would
    no longer predict by the softmax that the other systems use, and it needs compiled operations
    on a GPU. ::

        loss_decode=dict(type='SoftmaxFocalLoss', gamma=2.0)

    The mean is that of ``CrossEntropyLoss``: over all pixels, or over those that are not ignored
    with ``avg_non_ignore``; the class weights of these pixels if there are any.

    Args:
        gamma: how much less a pixel counts that is classified well, >= 0; 0 is cross entropy.
        **kwargs: as ``CrossEntropyLoss``, softmax only.

    Raises:
        ValueError: gamma is negative, or a sigmoid or mask loss is asked for.
    """

    def __init__(self, *, gamma: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_softmax(self, KEY, 'Use FocalLoss')
        check_range(f'{KEY}.gamma', gamma, low=0.0, remedy='2.0 is usual')
        self.gamma = gamma

    def pixel_values(
        self, cls_score: Tensor, label: Tensor, class_weight: Tensor | None, ignore_index: int
    ) -> Tensor:
        """Return the values of the pixels."""
        return focal_loss(
            cls_score, label, gamma=self.gamma, class_weight=class_weight, ignore_index=ignore_index
        )

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'gamma={self.gamma}, {super().extra_repr()}'
