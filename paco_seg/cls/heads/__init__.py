"""Classification heads of GPaCo, PaCo, their baselines and the compared systems."""

from .contrastive_cls_head import ContrastiveClsHead
from .gpaco_cls_head import GPaCoClsHead
from .hybrid_cls_head import HybridClsHead
from .ldam_cls_head import LDAMClsHead
from .logit_adjusted_cls_head import LogitAdjustedClsHead
from .lws_cls_head import LWSClsHead
from .multi_task_supcon_cls_head import MultiTaskSupConClsHead
from .paco_cls_head import PaCoClsHead
from .projector import linear_projector
from .reslt_cls_head import ResLTClsHead
from .supcon_pretrain_head import SupConPretrainHead
from .tau_norm_cls_head import TauNormClsHead

__all__ = [
    'ContrastiveClsHead',
    'GPaCoClsHead',
    'HybridClsHead',
    'LDAMClsHead',
    'LWSClsHead',
    'LogitAdjustedClsHead',
    'MultiTaskSupConClsHead',
    'PaCoClsHead',
    'ResLTClsHead',
    'SupConPretrainHead',
    'TauNormClsHead',
    'linear_projector',
]
