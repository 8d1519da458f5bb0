"""Losses of pixels for MMSegmentation: thin adapters over ``paco_seg.core``."""

from paco_seg.seg.losses.pixel_gpaco_loss import PixelGPaCoLoss

__all__ = ['PixelGPaCoLoss']
