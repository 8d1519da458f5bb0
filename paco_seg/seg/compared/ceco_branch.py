"""CeCo: class centers are drawn to a fixed simplex while the pixel classifier stays free."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_count, check_range
from paco_seg.core.compared.ceco import center_loss, simplex_etf
from paco_seg.seg.compared.region_branch import RegionBranch


@MODELS.register_module()
class CeCoBranch(RegionBranch):
    """Center collapse regularisation (arXiv 2301.01100); centers are region means.

    The simplex is fixed, drawn from ``etf_seed`` and part of the checkpoint, so that all ranks
    and a resumed run use the same one. Inference is that of the base head.

    Args:
        scale: factor s of the cosines, > 0.
        etf_seed: seed of the rotation of the simplex.
        loss_name: key of the loss in the log.
        **kwargs: as :class:`RegionBranch`; ``hidden_channels`` of at least ``num_classes``.

    Raises:
        ValueError: more classes than ``hidden_channels``.

    Example:
        >>> decode_head = dict(
        ...     type='BranchDecodeHead',
        ...     base_type='UPerHead',
        ...     training_branches=dict(
        ...         ceco=dict(
        ...             type='CeCoBranch',
        ...             frequency_file='data/ade20k_frequency.json',
        ...             loss_weight=0.8)))
    """

    def __init__(
        self,
        *,
        scale: float = 5.0,
        etf_seed: int = 0,
        loss_name: str = 'loss_ceco',
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **kwargs)
        check_range('CeCoBranch.scale', scale, low=0.0, low_open=True)
        check_range(
            'CeCoBranch.hidden_channels',
            self.hidden_channels,
            low=self.num_classes,
            remedy=f'A simplex of {self.num_classes} classes needs as many channels',
        )
        self.scale = scale
        check_count('CeCoBranch.etf_seed', etf_seed, high=2**63 - 1)
        frame = simplex_etf(self.num_classes, self.hidden_channels, seed=etf_seed).float()
        self.register_buffer('simplex', frame)

    def region_loss(self, regions: Tensor, present: Tensor) -> Tensor:
        """Compute the loss of projected means (G, C, hidden), of which (G, C) are present."""
        return center_loss(
            regions,
            present,
            self.simplex,
            scale=self.scale,
            prior=self.region_prior,
            label_smoothing=self.label_smoothing,
            dropout=self.dropout_ratio if self.training else 0.0,
        )
