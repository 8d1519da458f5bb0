"""Classification losses: adapters that turn MMPretrain's words into one call of the core."""

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.cls.losses.gpaco_loss import GPaCoLoss

__all__ = [
    'ClassCounts',
    'GPaCoLoss',
]
