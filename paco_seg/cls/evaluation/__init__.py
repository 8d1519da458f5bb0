"""Metrics of long-tailed and robust classification."""

from paco_seg.cls.evaluation.imagenet_robustness import ImageNetCError, SubsetAccuracy
from paco_seg.cls.evaluation.long_tail_accuracy import (
    LongTailAccuracy,
    read_train_counts,
    shot_groups,
)

__all__ = [
    'ImageNetCError',
    'LongTailAccuracy',
    'SubsetAccuracy',
    'read_train_counts',
    'shot_groups',
]
