"""Datasets and transforms of long-tailed and robust classification."""

from .class_aware_sampler import ClassAwareSampler
from .class_counts import class_counts, class_labels
from .clipped_cutout import ClippedCutout
from .dual_sampling_dataset import DualSamplingDataset
from .image_list_dataset import ImageListDataset, ImageListError
from .imagenet_robustness import ALEXNET_ERRORS, IMAGENET_R_INDICES, ImageNetC, ImageNetR
from .long_tail_dataset import LongTailDataset, long_tail_counts

__all__ = [
    'ALEXNET_ERRORS',
    'IMAGENET_R_INDICES',
    'ClassAwareSampler',
    'ClippedCutout',
    'DualSamplingDataset',
    'ImageListDataset',
    'ImageListError',
    'ImageNetC',
    'ImageNetR',
    'LongTailDataset',
    'class_counts',
    'class_labels',
    'long_tail_counts',
]
