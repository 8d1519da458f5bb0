"""Metrics of long-tailed and robust classification."""

from .imagenet_robustness import ImageNetCError, SubsetAccuracy
from .long_tail_accuracy import LongTailAccuracy, read_train_counts, shot_groups

__all__ = [
    'ImageNetCError',
    'LongTailAccuracy',
    'SubsetAccuracy',
    'read_train_counts',
    'shot_groups',
]
