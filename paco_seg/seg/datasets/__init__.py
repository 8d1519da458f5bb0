"""Datasets and transforms registered in MMSegmentation."""

from paco_seg.seg.datasets.ade20k_full_dataset import ADE20KFullDataset
from paco_seg.seg.datasets.camvid import CamVidDataset
from paco_seg.seg.datasets.digit_scenes import DigitScenesDataset
from paco_seg.seg.datasets.load_label_map import LoadLabelMap
from paco_seg.seg.datasets.rare_class_dataset import RareClassDataset
from paco_seg.seg.datasets.tail_memory_dataset import TailMemoryDataset

__all__ = [
    'ADE20KFullDataset',
    'CamVidDataset',
    'DigitScenesDataset',
    'LoadLabelMap',
    'RareClassDataset',
    'TailMemoryDataset',
]
