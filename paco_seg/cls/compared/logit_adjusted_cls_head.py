"""Post-hoc logit adjustment: the class prior leaves the logits at prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from paco_seg.cls.heads.linear_keys import AnyLinearClsHead
from paco_seg.cls.losses import ClassCounts
from paco_seg.core.checks import check_range
from paco_seg.core.compared.balanced_softmax import posthoc_adjusted_logits


@MODELS.register_module()
class LogitAdjustedClsHead(AnyLinearClsHead):
    """``LinearClsHead`` that predicts from ``logits - tau * log prior`` (arXiv 2007.07314, 4.1).

    Training is that of ``LinearClsHead``, so a checkpoint trained with plain cross entropy, with
    that head or ``VisionTransformerClsHead``, can be evaluated without training again. Use
    it with a loss that has no prior.

    Args:
        num_classes: C.
        in_channels: width of the pooled feature.
        class_prior: counts of the training set: ``'auto'`` (through :class:`ClassCountHook`, or
            from a checkpoint that was trained with it), a list of counts or frequencies, or a
            JSON file with such a list.
        tau: factor on the log prior, >= 0.
        **kwargs: of ``LinearClsHead``.

    Raises:
        ValueError: ``tau`` is negative, or the prior has another length than num_classes.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        class_prior: str | Sequence[float] = 'auto',
        tau: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        check_range('model.head.tau', tau, low=0.0)
        self.class_prior = ClassCounts(class_prior, 'model.head.class_prior', for_prediction=True)
        self.class_prior.check_length(num_classes)
        self.tau = tau

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Adjust the logits, (N, C): those of the prediction, and what an ensemble adds up."""
        logits = super().forward(feats)
        return posthoc_adjusted_logits(logits, self.class_prior(), strength=self.tau)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss of the logits as they are; arguments as in ``ClsHead``."""
        return self._get_loss(super().forward(feats), data_samples, **kwargs)
