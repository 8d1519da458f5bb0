"""MMPretrain's ResNet with the depth and the partial freezing that the published recipes need."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.backbones import ResNet
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck
from mmpretrain.registry import MODELS
from torch import nn

from paco_seg.core.checks import check_choice


@MODELS.register_module()
class ExtendedResNet(ResNet):
    """ResNet with depth 10 or 200, and with most convolutions frozen on request.

    The state dict has the names of the stock ResNet, which are those of torchvision.

    Args:
        depth: a depth of the stock ResNet, 10 (one basic block per stage, the small network of
            ImageNet-LT) or 200 (bottlenecks 3-24-36-3).
        trainable_convs: prefixes of the modules whose convolutions are trained, such as
            ``('layer4.2',)`` for the last bottleneck alone; the weights of all other convolutions
            are frozen, while every BatchNorm keeps training its affine parameters and running
            statistics (PaCo and GPaCo on Places-LT). None trains all.
        **kwargs: other arguments of :class:`mmpretrain.models.backbones.ResNet`.

    Raises:
        ValueError: an entry of ``trainable_convs`` matches no convolution (names it).
    """

    arch_settings = {
        **ResNet.arch_settings,
        10: (BasicBlock, (1, 1, 1, 1)),
        200: (Bottleneck, (3, 24, 36, 3)),
    }

    def __init__(self, depth: int, trainable_convs: Sequence[str] | None = None, **kwargs):
        check_choice('depth', depth, tuple(self.arch_settings))
        super().__init__(depth, **kwargs)
        if trainable_convs is None:
            return
        convs = {name: m for name, m in self.named_modules() if isinstance(m, nn.Conv2d)}
        for prefix in trainable_convs:
            if not any(f'{name}.'.startswith(f'{prefix}.') for name in convs):
                raise ValueError(
                    f'trainable_convs: expected prefixes of modules with convolutions, got '
                    f'{prefix!r}. Use names such as layer4.2'
                )
        for name, conv in convs.items():
            trained = any(f'{name}.'.startswith(f'{prefix}.') for prefix in trainable_convs)
            conv.weight.requires_grad = trained
