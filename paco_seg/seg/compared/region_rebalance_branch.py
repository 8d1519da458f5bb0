"""Region Rebalance: a rebalanced classifier of class regions beside the pixel classifier."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_range
from paco_seg.core.compared.region import region_rebalance_loss
from paco_seg.seg.compared.region_branch import RegionBranch


@MODELS.register_module()
class RegionRebalanceBranch(RegionBranch):
    """Region Rebalance (arXiv 2204.01969): cross entropy of class regions with an image prior.

    The prior enters the loss only. Inference is that of the base head.

    Args:
        scale: factor of the region logits, > 0.
        **kwargs: as :class:`RegionBranch`.

    Example:
        >>> decode_head = dict(
        ...     type='BranchDecodeHead',
        ...     base_type='UPerHead',
        ...     training_branches=dict(
        ...         region_rebalance=dict(
        ...             type='RegionRebalanceBranch', frequency_file='data/ade20k_frequency.json')))
    """

    def __init__(self, *, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_range('RegionRebalanceBranch.scale', scale, low=0.0, low_open=True)
        self.scale = scale
        self.classifier = nn.Sequential(
            nn.Dropout(self.dropout_ratio),
            nn.Linear(self.hidden_channels, self.num_classes),
        )

    def region_loss(self, regions: Tensor, present: Tensor) -> Tensor:
        """Compute the loss of projected means (G, C, hidden), of which (G, C) are present."""
        return region_rebalance_loss(
            self.scale * self.classifier(regions),
            present,
            prior=self.region_prior,
            label_smoothing=self.label_smoothing,
        )
