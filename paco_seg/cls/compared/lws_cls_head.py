"""Learnable weight scaling of a trained classifier."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.compared.tau_norm import scaled_logits


@MODELS.register_module()
class LWSClsHead(LinearClsHead):
    """Learns one positive scale per class on a frozen classifier (arXiv 1910.09217, 4.3).

    Start from the stage-one checkpoint (``load_from``), with :class:`FrozenFeatureClassifier` and
    :class:`ClassAwareSampler`. The scales begin at 1.

    Args:
        num_classes: C.
        in_channels: width of the pooled feature.
        **kwargs: of ``LinearClsHead``.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.fc.requires_grad_(False)
        self.log_scales = nn.Parameter(torch.zeros(num_classes))

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute scaled logits, (N, C)."""
        return scaled_logits(super().forward(feats), self.log_scales)
