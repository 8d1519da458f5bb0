"""Datasets and transforms of long-tailed and robust classification."""

from .class_counts import class_counts
from .clipped_cutout import ClippedCutout
from .image_list_dataset import ImageListDataset, ImageListError
from .imagenet_robustness import ALEXNET_ERRORS, IMAGENET_R_INDICES, ImageNetC, ImageNetR
from .long_tail_dataset import LongTailDataset, long_tail_counts

__all__ = [
    'ALEXNET_ERRORS',
    'IMAGENET_R_INDICES',
    'ClippedCutout',
    'ImageListDataset',
    'ImageListError',
    'ImageNetC',
    'ImageNetR',
    'LongTailDataset',
    'class_counts',
    'long_tail_counts',
]
