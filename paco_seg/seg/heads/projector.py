"""The projection MLP of pixels, as 1x1 convolutions."""

from __future__ import annotations

from mmcv.cnn import ConvModule
from torch import nn

from paco_seg.core.checks import check_count, check_num_layers

# Width of the embedding in every published segmentation recipe.
EMBED_CHANNELS = 128


def conv_projector(
    in_channels: int,
    *,
    num_layers: int = 3,
    hidden_channels: int | None = None,
    out_channels: int = EMBED_CHANNELS,
    norm_cfg: dict | None = None,
) -> nn.Sequential:
    """Build 1x1 convolutions, all but the last followed by norm and ReLU (GPaCo segmentation).

    Maps (B, in_channels, h, w) to (B, out_channels, h, w).

    Raises:
        TypeError: one of them is no integer.
        ValueError: a number of layers or channels is below 1, or of layers above 1000.
    """
    check_num_layers('projector.num_layers', num_layers)
    check_count('projector.out_channels', out_channels, low=1)
    hidden_channels = in_channels if hidden_channels is None else hidden_channels
    check_count('projector.hidden_channels', hidden_channels, low=1)
    layers: list[nn.Module] = []
    for _ in range(num_layers - 1):
        layers.append(ConvModule(in_channels, hidden_channels, kernel_size=1, norm_cfg=norm_cfg))
        in_channels = hidden_channels
    layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=1))
    return nn.Sequential(*layers)
