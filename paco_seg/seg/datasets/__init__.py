"""Datasets registered in MMSegmentation."""

from paco_seg.seg.datasets.digit_scenes import DigitScenesDataset

__all__ = ['DigitScenesDataset']
