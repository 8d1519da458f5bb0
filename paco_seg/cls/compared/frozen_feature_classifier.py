"""Stage two of two-stage training: only the head learns."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class FrozenFeatureClassifier(ImageClassifier):
    """``ImageClassifier`` whose backbone and neck are fixed: cRT, LWS, linear stage of SupCon.

    They take no gradient and stay in evaluation mode, so that the statistics of BatchNorm are
    those of stage one. Give their weights by ``backbone.init_cfg`` (a new classifier) or
    ``load_from`` (the classifier of stage one as well).

    Args:
        backbone: config, as all further arguments of ``ImageClassifier``.
        **kwargs: ``neck``, ``head``, ``data_preprocessor`` and so on.

    Example:
        >>> model = dict(type='FrozenFeatureClassifier', backbone=dict(init_cfg=dict(
        ...     type='Pretrained', checkpoint='stage_one.pth', prefix='backbone.')))
    """

    def __init__(self, backbone: dict, **kwargs: Any) -> None:
        super().__init__(backbone, **kwargs)
        for part in self._frozen():
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenFeatureClassifier:
        """Set the training mode of the head alone."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict:
        """Compute the loss on features without gradient; arguments as in ``ImageClassifier``."""
        with torch.no_grad():
            feats = self.extract_feat(inputs)
        return self.head.loss(feats, data_samples)

    def _frozen(self) -> list[torch.nn.Module]:
        return [self.backbone, self.neck] if self.with_neck else [self.backbone]
