"""Systems that PaCo and GPaCo are compared with: their heads, losses and sampling."""

from paco_seg.cls.compared.balanced_softmax_loss import BalancedSoftmaxLoss
from paco_seg.cls.compared.bcl_cls_head import BCLClsHead
from paco_seg.cls.compared.bcl_loss import BCLLoss
from paco_seg.cls.compared.class_aware_sampler import ClassAwareSampler
from paco_seg.cls.compared.class_mean_start_hook import ClassMeanStartHook
from paco_seg.cls.compared.dual_sampling_dataset import DualSamplingDataset
from paco_seg.cls.compared.frozen_feature_classifier import FrozenFeatureClassifier
from paco_seg.cls.compared.hybrid_classifier import HybridClassifier
from paco_seg.cls.compared.hybrid_cls_head import HybridClsHead
from paco_seg.cls.compared.ldam_cls_head import LDAMClsHead
from paco_seg.cls.compared.ldam_loss import LDAMLoss
from paco_seg.cls.compared.lift_classifier import LIFTClassifier
from paco_seg.cls.compared.lift_cls_head import LIFTClsHead
from paco_seg.cls.compared.logit_adjusted_cls_head import LogitAdjustedClsHead
from paco_seg.cls.compared.lws_cls_head import LWSClsHead
from paco_seg.cls.compared.multi_task_supcon_cls_head import MultiTaskSupConClsHead
from paco_seg.cls.compared.multi_task_supcon_loss import MultiTaskSupConLoss
from paco_seg.cls.compared.one_based_cosine_lr import OneBasedCosineLR
from paco_seg.cls.compared.prior_focal_loss import PriorFocalLoss
from paco_seg.cls.compared.proco_cls_head import ProCoClsHead
from paco_seg.cls.compared.proco_loss import ProCoLoss
from paco_seg.cls.compared.prototype_contrast_loss import PrototypeContrastLoss
from paco_seg.cls.compared.reslt_cls_head import ResLTClsHead
from paco_seg.cls.compared.reslt_loss import ResLTLoss
from paco_seg.cls.compared.stage_one_hook import StageOneHook
from paco_seg.cls.compared.supcon_loss import SupConLoss
from paco_seg.cls.compared.supcon_pretrain_head import SupConPretrainHead
from paco_seg.cls.compared.tau_norm_cls_head import TauNormClsHead
from paco_seg.cls.compared.training_progress_hook import TrainingProgressHook

__all__ = [
    'BCLClsHead',
    'BCLLoss',
    'BalancedSoftmaxLoss',
    'ClassAwareSampler',
    'ClassMeanStartHook',
    'DualSamplingDataset',
    'FrozenFeatureClassifier',
    'HybridClassifier',
    'HybridClsHead',
    'LDAMClsHead',
    'LDAMLoss',
    'LIFTClassifier',
    'LIFTClsHead',
    'LWSClsHead',
    'LogitAdjustedClsHead',
    'MultiTaskSupConClsHead',
    'MultiTaskSupConLoss',
    'OneBasedCosineLR',
    'PriorFocalLoss',
    'ProCoClsHead',
    'ProCoLoss',
    'PrototypeContrastLoss',
    'ResLTClsHead',
    'ResLTLoss',
    'StageOneHook',
    'SupConLoss',
    'SupConPretrainHead',
    'TauNormClsHead',
    'TrainingProgressHook',
]
