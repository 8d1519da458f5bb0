"""Datasets and transforms of long-tailed and robust classification."""

from paco_seg.cls.datasets.class_labels import class_counts, class_labels, image_counts
from paco_seg.cls.datasets.clipped_cutout import ClippedCutout
from paco_seg.cls.datasets.image_list_dataset import ImageListDataset, ImageListError
from paco_seg.cls.datasets.imagenet_robustness import (
    ALEXNET_ERRORS,
    IMAGENET_R_INDICES,
    ImageNetC,
    ImageNetR,
)
from paco_seg.cls.datasets.long_tail_dataset import LongTailDataset, long_tail_counts

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
    'class_labels',
    'image_counts',
    'long_tail_counts',
]
