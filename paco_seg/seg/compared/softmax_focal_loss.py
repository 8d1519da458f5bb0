"""Focal loss in place of cross entropy, over a softmax."""

from __future__ import annotations

from typing import Any

from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_range
from paco_seg.core.compared.focal import focal_loss
from paco_seg.seg.compared.pixel_mean import check_softmax, reduced

KEY = 'SoftmaxFocalLoss'


@MODELS.register_module()
class SoftmaxFocalLoss(CrossEntropyLoss):
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
        weights = None if self.class_weight is None else cls_score.new_tensor(self.class_weight)
        values = focal_loss(
            cls_score, label, gamma=self.gamma, class_weight=weights, ignore_index=ignore_index
        )
        return reduced(
            self,
            values,
            label,
            class_weight=weights,
            ignore_index=ignore_index,
            weight=weight,
            avg_factor=avg_factor,
            reduction_override=reduction_override,
        )

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'gamma={self.gamma}, {super().extra_repr()}'
