"""Tau-normalisation of a trained classifier at test."""

from __future__ import annotations

from typing import Any

from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from paco_seg.cls.heads.linear_keys import AnyLinearClsHead
from paco_seg.core.checks import check_range
from paco_seg.core.compared.tau_norm import tau_normalized_logits


@MODELS.register_module()
class TauNormClsHead(AnyLinearClsHead):
    """``LinearClsHead`` that predicts with ``w_j / ||w_j||^tau`` and no bias (1910.09217, 4.2).

    Training is that of ``LinearClsHead``, so that a checkpoint trained with plain cross entropy,
    with that head or ``VisionTransformerClsHead``, is evaluated without training again. Choose tau
    on a validation set, never on the test set.

    Args:
        num_classes: C.
        in_channels: width of the pooled feature.
        tau: >= 0; 0 only drops the bias, 1 gives unit class vectors.
        **kwargs: of ``LinearClsHead``.

    Raises:
        ValueError: ``tau`` is negative.
    """

    def __init__(
        self, num_classes: int, in_channels: int, *, tau: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        check_range('model.head.tau', tau, low=0.0)
        self.tau = tau

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Normalise the logits, (N, C): those of the prediction, and what an ensemble adds up."""
        return tau_normalized_logits(self.pre_logits(feats), self.fc.weight, self.tau)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss of the trained classifier and its bias; arguments as in ``ClsHead``."""
        return self._get_loss(super().forward(feats), data_samples, **kwargs)
