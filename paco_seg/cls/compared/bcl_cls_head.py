"""Balanced contrastive learning: prototypes are made of the rows of the classifier."""

from __future__ import annotations

from typing import Any

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.compared.classify_and_contrast_head import ClassifyAndContrastHead
from paco_seg.cls.heads.features import unit_embeddings
from paco_seg.cls.heads.loss_config import with_defaults
from paco_seg.cls.heads.projector import linear_projector


@MODELS.register_module()
class BCLClsHead(ClassifyAndContrastHead):
    """Classifier with balanced contrastive learning (arXiv 2207.09052).

    View 1 trains the classifier; views 2 and 3 contrast with each other and with one prototype per
    class, which a second projector makes of the rows of the classifier. A frozen classifier has
    frozen prototypes. Used by :class:`GPaCoClassifier`.

    Args:
        num_classes: C.
        in_channels: D, width of the pooled feature.
        loss_contrast: config of :class:`BCLLoss`, the type may be left out.
        **kwargs: of :class:`ClassifyAndContrastHead`; both projectors have the settings of
            ``projector``.

    Example:
        >>> model = dict(type='GPaCoClassifier', joint_pass=True, head=dict(type='BCLClsHead',
        ...     num_classes=100, in_channels=64, loss_contrast=dict(temperature=0.1)),
        ...     data_preprocessor=dict(num_views=3))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss_contrast: dict | nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        contrast = with_defaults(loss_contrast, type='BCLLoss')
        super().__init__(num_classes, in_channels, loss_contrast=contrast, **kwargs)
        self.prototype_projector = linear_projector(in_channels, **self.projector_settings)

    def prototypes(self) -> Tensor:
        """Return the class prototypes, (C, d) unit rows."""
        return unit_embeddings(self.prototype_projector, self.fc.weight)

    def _contrast(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return self.contrast_module(embeddings, labels, self.prototypes())
