"""Probabilistic contrastive learning beside a classifier."""

from __future__ import annotations

from typing import Any

from mmpretrain.registry import MODELS
from torch import nn

from paco_seg.cls.compared.classify_and_contrast_head import ClassifyAndContrastHead
from paco_seg.cls.heads.loss_config import with_defaults


@MODELS.register_module()
class ProCoClsHead(ClassifyAndContrastHead):
    """Classifier with probabilistic contrastive learning (arXiv 2403.06726).

    View 1 trains the classifier; views 2 and 3 contrast with the distributions of the classes.
    Used by :class:`GPaCoClassifier`.

    Args:
        num_classes: C.
        in_channels: D, width of the pooled feature.
        loss_contrast: config of :class:`ProCoLoss`; type, number of classes and channels may be
            left out.
        **kwargs: of :class:`ClassifyAndContrastHead`.

    Example:
        >>> model = dict(type='GPaCoClassifier', joint_pass=True, head=dict(type='ProCoClsHead',
        ...     num_classes=100, in_channels=64, loss_contrast=dict(temperature=0.1)),
        ...     data_preprocessor=dict(num_views=3))
        >>> custom_hooks = [dict(type='ClassCountHook'), dict(type='TrainingProgressHook')]
    """

    required_hooks = ('ClassCountHook', 'TrainingProgressHook')

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        projector: dict | None = None,
        loss_contrast: dict | nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        projector = {'out_channels': 128, **(projector or {})}
        contrast = with_defaults(
            loss_contrast,
            type='ProCoLoss',
            num_classes=num_classes,
            channels=projector['out_channels'],
        )
        super().__init__(
            num_classes, in_channels, projector=projector, loss_contrast=contrast, **kwargs
        )
