"""Hybrid-SC and Hybrid-PSC: one encoder for two batches."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from paco_seg.cls.classifiers.multi_view_classifier import MultiViewClassifier


@MODELS.register_module()
class HybridClassifier(MultiViewClassifier):
    """``ImageClassifier`` that trains on what :class:`DualSamplingDataset` delivers.

    The views of the instance-balanced images and the class-balanced images pass the encoder
    together, so that the statistics of BatchNorm are those of both samplings. Prediction is that
    of ``ImageClassifier``.

    Args:
        backbone: config, as all further arguments of :class:`MultiViewClassifier`. ``head`` is a
            :class:`HybridClsHead`; ``data_preprocessor.num_views`` counts the class-balanced image
            too (3 for two views).

    Example:
        >>> model = dict(type='HybridClassifier', backbone=..., neck=..., head=dict(
        ...     type='HybridClsHead', num_classes=100, in_channels=64, loss_contrast=...),
        ...     data_preprocessor=dict(num_views=3))
    """

    def loss(self, inputs: list[Tensor], data_samples: list[DataSample]) -> dict:
        """Compute the losses of a batch.

        Args:
            inputs: V views (B, C, H, W), then the class-balanced images, all of one size.
            data_samples: B samples.

        Returns:
            Loss components of the head.
        """
        return self.head.loss(self.extract_feat(torch.cat(list(inputs))), data_samples)
