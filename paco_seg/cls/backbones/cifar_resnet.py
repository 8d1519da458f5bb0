"""The CIFAR residual network of He et al. (arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule, Sequential
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_count


class _BasicBlock(BaseModule):
    """Two 3x3 convolutions and a shortcut without parameters (option A)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.extra = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.extra:
            # Option A: subsample the identity, and pad the new channels with zeros, half in
            # front and half behind.
            front = self.extra // 2
            x = F.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.extra - front)
            )
        return F.relu(out + x)


@MODELS.register_module()
class CIFARResNet(BaseBackbone):
    """ResNet of depth 6n+2 for 32x32 images: three stages of 16, 32 and 64 channels.

    MMPretrain's ``ResNet_CIFAR`` is another network, the ImageNet ResNet (four stages from 64
    channels) with a small stem.

    Args:
        depth: 6n+2, such as 20, 32, 44, 56 or 110.
        in_channels: channels of the input images.
        base_channels: width of the first stage.
        init_cfg: Kaiming normal convolutions (fan-in), as in the published CIFAR-LT baselines.

    Raises:
        ValueError: the depth is not of the form 6n+2.
    """

    def __init__(
        self,
        depth: int = 32,
        in_channels: int = 3,
        base_channels: int = 16,
        init_cfg: dict | None = dict(  # noqa: B006 (an MM config, never modified)
            type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='relu'
        ),
    ):
        check_count('depth', depth)
        check_count('base_channels', base_channels, low=1)
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f'depth: expected 6n+2 (20, 32, 44, 56, 110), got {depth}')
        super().__init__(init_cfg)
        self.depth = depth
        self.conv1 = nn.Conv2d(in_channels, base_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        channels = base_channels
        for stage in range(3):
            width = base_channels * 2**stage
            blocks = []
            for block in range((depth - 2) // 6):
                stride = 2 if stage and not block else 1
                blocks.append(_BasicBlock(channels, width, stride))
                channels = width
            self.add_module(f'layer{stage + 1}', Sequential(*blocks))
        self.feat_dim = channels

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """(N, in_channels, H, W) -> one map (N, 4 * base_channels, H / 4, W / 4)."""
        x = F.relu(self.bn1(self.conv1(x)))
        return (self.layer3(self.layer2(self.layer1(x))),)
