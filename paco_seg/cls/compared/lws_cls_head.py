"""Learnable weight scaling of a trained classifier."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.heads.linear_keys import AnyLinearClsHead
from paco_seg.core.compared.tau_norm import scaled_logits


@MODELS.register_module()
class LWSClsHead(AnyLinearClsHead):
    """Learns one scale per class on a frozen classifier (arXiv 1910.09217, 4.3).

    Start from the stage-one checkpoint (``load_from``), with :class:`FrozenFeatureClassifier` and
    :class:`ClassAwareSampler`. The scales begin at 1 and are learned as they are, as released.
    A checkpoint with the logarithms of the scales (``log_scales``) loads as well, and so does one
    of ``VisionTransformerClsHead``.

    Args:
        num_classes: C.
        in_channels: width of the pooled feature.
        **kwargs: of ``LinearClsHead``.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.fc.requires_grad_(False)
        self.scales = nn.Parameter(torch.ones(num_classes))

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute scaled logits, (N, C)."""
        return scaled_logits(super().forward(feats), self.scales)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        logarithms = state_dict.pop(f'{prefix}log_scales', None)
        if logarithms is not None:
            state_dict[f'{prefix}scales'] = logarithms.exp()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
