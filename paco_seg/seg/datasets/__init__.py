"""Datasets and transforms registered in MMSegmentation."""

from paco_seg.seg.datasets.camvid import CamVidDataset
from paco_seg.seg.datasets.digit_scenes import DigitScenesDataset
from paco_seg.seg.datasets.load_label_map import LoadLabelMap
from paco_seg.seg.datasets.rare_class_dataset import RareClassDataset

__all__ = ['CamVidDataset', 'DigitScenesDataset', 'LoadLabelMap', 'RareClassDataset']
