"""Backbones without a stock MMPretrain counterpart."""

from paco_seg.cls.backbones.cifar_resnet import CIFARResNet
from paco_seg.cls.backbones.extended_resnet import ExtendedResNet

__all__ = ['CIFARResNet', 'ExtendedResNet']
