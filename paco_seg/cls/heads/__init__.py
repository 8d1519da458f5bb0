"""Classification heads of GPaCo, PaCo and their baselines."""

from .contrastive_cls_head import ContrastiveClsHead
from .gpaco_cls_head import GPaCoClsHead
from .logit_adjusted_cls_head import LogitAdjustedClsHead
from .multi_task_supcon_cls_head import MultiTaskSupConClsHead
from .paco_cls_head import PaCoClsHead
from .projector import linear_projector

__all__ = [
    'ContrastiveClsHead',
    'GPaCoClsHead',
    'LogitAdjustedClsHead',
    'MultiTaskSupConClsHead',
    'PaCoClsHead',
    'linear_projector',
]
