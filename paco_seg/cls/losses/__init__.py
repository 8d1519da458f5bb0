"""Classification losses: adapters that turn MMPretrain's words into one call of the core."""

from .balanced_softmax_loss import BalancedSoftmaxLoss
from .class_counts import ClassCounts
from .gpaco_loss import GPaCoLoss
from .multi_task_supcon_loss import MultiTaskSupConLoss

__all__ = ['BalancedSoftmaxLoss', 'ClassCounts', 'GPaCoLoss', 'MultiTaskSupConLoss']
