"""GPaCo for semantic segmentation: projector and pixel-contrastive loss around any head."""

from __future__ import annotations

from typing import Any, cast

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_range
from paco_seg.core.frequency import check_num_classes, load_class_frequency
from paco_seg.seg.heads.branch_decode_head import BranchDecodeHead
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch

# Width of the embedding in every published segmentation recipe.
EMBED_CHANNELS = 128


@MODELS.register_module()
class GPaCoDecodeHead(BranchDecodeHead):
    """Any decode head with the GPaCo pixel-contrastive loss (arXiv 2209.12400).

    The stock losses stay; the class centers are the weights of the head's own classifier. The
    projector runs in training only.

    Args:
        base_type: name of a registered decode head; all further arguments are its own.
        projector: ``num_layers`` 1x1 convolutions; all but the last are followed by norm and
            ReLU. ``hidden_channels=None`` keeps the width of the feature; ``norm_cfg`` defaults
            to that of the head, else SyncBN.
        loss_contrast: config of :class:`PixelGPaCoLoss`.
        training_branches: further branches, see :class:`BranchDecodeHead`.

    Raises:
        ValueError: unknown or unsuitable ``base_type``, or a setting out of range.

    Example:
        >>> model = dict(decode_head=dict(type='GPaCoDecodeHead', base_type='PSPHead'))
    """

    def __init__(
        self,
        *,
        projector: dict | None = None,
        loss_contrast: dict | None = None,
        training_branches: dict[str, dict] | None = None,
        **kwargs: Any,
    ) -> None:
        gpaco = dict(type='GPaCoBranch', projector=projector, loss_contrast=loss_contrast)
        super().__init__(training_branches=dict(gpaco=gpaco, **(training_branches or {})), **kwargs)


@MODELS.register_module()
class GPaCoBranch(TrainingBranch):
    """Projector and :class:`PixelGPaCoLoss`; arguments as in :class:`GPaCoDecodeHead`."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        norm_cfg: dict | None = None,
        projector: dict | None = None,
        loss_contrast: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        settings: dict[str, Any] = dict(projector or {})
        settings.setdefault('norm_cfg', norm_cfg or dict(type='SyncBN', requires_grad=True))
        embed_channels = settings.setdefault('out_channels', EMBED_CHANNELS)
        self.projector = conv_projector(in_channels, **settings)
        loss: dict[str, Any] = dict(type='PixelGPaCoLoss')
        loss.update(loss_contrast or {})
        if loss.get('queue_size'):
            loss.setdefault('embed_channels', embed_channels)
        if loss.get('frequency_file'):
            key = 'loss_contrast.frequency_file'
            frequency = load_class_frequency(loss['frequency_file'], key)
            check_num_classes(frequency, num_classes, key, 'as in the head')
        self.loss_contrast = MODELS.build(loss)

    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """One loss under ``loss_contrast.loss_name``."""
        features = inputs.features
        # The norms of the projector see all pixels; its last layer only those that are drawn.
        if features.dim() == 3:  # sampled points as a map of width 1
            hidden = self.projector[:-1](features.unsqueeze(-1)).squeeze(-1)
        else:
            hidden = self.projector[:-1](features)
        loss = self.loss_contrast(
            hidden,
            inputs.logits,
            inputs.feature_labels,
            ignore_index=inputs.ignore_index,
            project=self._project,
        )
        return {self.loss_contrast.loss_name: loss}

    def _project(self, rows: Tensor) -> Tensor:
        """The last 1x1 convolution on rows (B, N, hidden) instead of a map."""
        layer = cast(nn.Conv2d, self.projector[-1])
        return F.linear(rows, layer.weight.flatten(1), layer.bias)


def conv_projector(
    in_channels: int,
    *,
    num_layers: int = 3,
    hidden_channels: int | None = None,
    out_channels: int = EMBED_CHANNELS,
    norm_cfg: dict | None = None,
) -> nn.Sequential:
    """1x1 convolutions, all but the last followed by norm and ReLU (GPaCo segmentation).

    Maps (B, in_channels, h, w) to (B, out_channels, h, w).

    Raises:
        ValueError: a number of layers or channels is below 1.
    """
    check_range('projector.num_layers', num_layers, low=1)
    check_range('projector.out_channels', out_channels, low=1)
    hidden_channels = in_channels if hidden_channels is None else hidden_channels
    check_range('projector.hidden_channels', hidden_channels, low=1)
    layers: list[nn.Module] = []
    for _ in range(num_layers - 1):
        layers.append(ConvModule(in_channels, hidden_channels, kernel_size=1, norm_cfg=norm_cfg))
        in_channels = hidden_channels
    layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=1))
    return nn.Sequential(*layers)
