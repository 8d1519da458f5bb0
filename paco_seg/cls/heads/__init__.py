"""Classification heads of GPaCo and PaCo."""

from paco_seg.cls.heads.contrastive_cls_head import ContrastiveClsHead
from paco_seg.cls.heads.gpaco_cls_head import GPaCoClsHead
from paco_seg.cls.heads.paco_cls_head import PaCoClsHead
from paco_seg.cls.heads.projector import linear_projector

__all__ = [
    'ContrastiveClsHead',
    'GPaCoClsHead',
    'PaCoClsHead',
    'linear_projector',
]
