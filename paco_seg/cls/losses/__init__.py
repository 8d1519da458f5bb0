"""Classification losses: adapters that turn MMPretrain's words into one call of the core."""

from .balanced_softmax_loss import BalancedSoftmaxLoss
from .class_counts import ClassCounts
from .gpaco_loss import GPaCoLoss
from .ldam_loss import LDAMLoss
from .multi_task_supcon_loss import MultiTaskSupConLoss
from .prototype_contrast_loss import PrototypeContrastLoss
from .reslt_loss import ResLTLoss
from .supcon_loss import SupConLoss

__all__ = [
    'BalancedSoftmaxLoss',
    'ClassCounts',
    'GPaCoLoss',
    'LDAMLoss',
    'MultiTaskSupConLoss',
    'PrototypeContrastLoss',
    'ResLTLoss',
    'SupConLoss',
]
