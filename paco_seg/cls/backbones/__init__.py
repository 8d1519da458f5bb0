"""Backbones without a stock MMPretrain counterpart."""

from .cifar_resnet import CIFARResNet
from .extended_resnet import ExtendedResNet

__all__ = ['CIFARResNet', 'ExtendedResNet']
