"""Losses of the compared systems, one file per system; pure functions on plain PyTorch."""

from paco_seg.core.compared.auc import square_auc_loss
from paco_seg.core.compared.balanced_softmax import (
    balanced_softmax_loss,
    cross_entropy_per_sample,
    posthoc_adjusted_logits,
)
from paco_seg.core.compared.bcl import bcl_loss
from paco_seg.core.compared.ceco import center_loss, simplex_etf
from paco_seg.core.compared.class_weights import class_weights
from paco_seg.core.compared.dice import dice_loss
from paco_seg.core.compared.hybrid import curriculum_weight, prototype_loss
from paco_seg.core.compared.ldam import (
    class_weighted_mean,
    cosine_logits,
    drw_weights,
    ldam_loss,
    ldam_margins,
)
from paco_seg.core.compared.lift import ClassMeans, ResidualAdapter, adapter_width
from paco_seg.core.compared.pixel_contrast import choose_anchors, pixel_contrast_loss
from paco_seg.core.compared.proco import (
    VMFMoments,
    concentration,
    log_scaled_bessel,
    vmf_logits,
)
from paco_seg.core.compared.region import (
    classes_in_image,
    image_bias,
    predicted_region_loss,
    region_loss,
    region_means,
    region_rebalance_loss,
    soft_region_means,
    suppress_absent,
)
from paco_seg.core.compared.reslt import (
    ResLTTerms,
    fused_logits,
    nested_class_groups,
    reslt_loss,
    reslt_terms,
)
from paco_seg.core.compared.seesaw import (
    image_counts,
    label_counts,
    seesaw_logits,
    seesaw_loss,
)
from paco_seg.core.compared.supcon import inverse_effective_weights, multi_task_loss, supcon_loss
from paco_seg.core.compared.tau_norm import (
    class_aware_indices,
    scaled_logits,
    tau_normalize,
    tau_normalized_logits,
)
from paco_seg.core.compared.upsampled_region import upsampled_region_means
from paco_seg.core.frequency import effective_numbers, log_class_prior

__all__ = [
    'ClassMeans',
    'ResLTTerms',
    'ResidualAdapter',
    'VMFMoments',
    'adapter_width',
    'balanced_softmax_loss',
    'bcl_loss',
    'center_loss',
    'choose_anchors',
    'class_aware_indices',
    'class_weighted_mean',
    'class_weights',
    'classes_in_image',
    'concentration',
    'cosine_logits',
    'cross_entropy_per_sample',
    'curriculum_weight',
    'dice_loss',
    'drw_weights',
    'effective_numbers',
    'fused_logits',
    'image_bias',
    'image_counts',
    'inverse_effective_weights',
    'label_counts',
    'ldam_loss',
    'ldam_margins',
    'log_class_prior',
    'log_scaled_bessel',
    'multi_task_loss',
    'nested_class_groups',
    'pixel_contrast_loss',
    'posthoc_adjusted_logits',
    'predicted_region_loss',
    'prototype_loss',
    'region_loss',
    'region_means',
    'region_rebalance_loss',
    'reslt_loss',
    'reslt_terms',
    'scaled_logits',
    'seesaw_logits',
    'seesaw_loss',
    'simplex_etf',
    'soft_region_means',
    'square_auc_loss',
    'supcon_loss',
    'suppress_absent',
    'tau_normalize',
    'tau_normalized_logits',
    'upsampled_region_means',
    'vmf_logits',
]
