"""Parametric contrastive learning (PaCo, GPaCo) for OpenMMLab training.

Importing the package loads neither PyTorch nor any MM package: choose ``paco_seg.core`` (torch
only), ``paco_seg.seg`` (MMSegmentation) or ``paco_seg.cls`` (MMPretrain).
"""

from paco_seg.version import __version__

__all__ = ['__version__']
