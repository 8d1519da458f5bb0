"""Hybrid-SC and Hybrid-PSC: a feature branch that hands over to a classifier branch."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.heads.features import hard_labels, unit_embeddings
from paco_seg.cls.heads.pooled_cls_head import PooledClsHead
from paco_seg.cls.heads.projector import linear_projector
from paco_seg.core.checks import check_choice
from paco_seg.core.compared.hybrid import SCHEDULES, curriculum_weight


@MODELS.register_module()
class HybridClsHead(PooledClsHead):
    """``alpha(T) * contrast + (1 - alpha(T)) * cross entropy`` on two batches (arXiv 2103.14267).

    The contrast sees the views of an instance-balanced batch, the classifier a class-balanced
    batch; :class:`HybridClassifier` hands over both. alpha falls from 1 to 0 over the training
    and is computed from the epoch, which :class:`TrainingProgressHook` tells. Prediction is that
    of ``LinearClsHead``.

    Args:
        num_classes: C.
        in_channels: width of the pooled feature.
        loss_contrast: :class:`SupConLoss` (Hybrid-SC) or :class:`PrototypeContrastLoss`
            (Hybrid-PSC; number of classes and channels are filled in).
        projector: arguments of :func:`linear_projector`; two layers by default.
        curriculum: ``'parabolic'`` (CIFAR) or ``'linear'`` (iNaturalist).
        **kwargs: of ``LinearClsHead``; ``loss`` is that of the classifier branch and must have no
            class prior, which the class-balanced batch corrects already.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> head = dict(type='HybridClsHead', num_classes=100, in_channels=64,
        ...     loss_contrast=dict(type='SupConLoss', temperature=0.1))
        >>> custom_hooks = [dict(type='TrainingProgressHook')]
    """

    required_hooks = ('TrainingProgressHook',)

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss_contrast: Any,
        projector: dict | None = None,
        curriculum: str = 'parabolic',
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        check_choice('model.head.curriculum', curriculum, SCHEDULES)
        if hasattr(self.loss_module, 'class_prior'):
            raise ValueError(
                'model.head.loss: expected a loss without class prior, got '
                f'{type(self.loss_module).__name__}. The class-balanced batch removes the prior '
                "already: use dict(type='CrossEntropyLoss')"
            )
        settings = {'num_layers': 2, 'out_channels': 128, **(projector or {})}
        self.projector = linear_projector(in_channels, **settings)
        if isinstance(loss_contrast, dict):
            if loss_contrast['type'] == 'PrototypeContrastLoss':
                sizes = dict(num_classes=num_classes, channels=settings['out_channels'])
                loss_contrast = {**sizes, **loss_contrast}
            loss_contrast = MODELS.build(loss_contrast)
        self.contrast_module: nn.Module = loss_contrast
        self.curriculum = curriculum
        self.contrast_weight: float | None = None

    def set_progress(self, epoch: float, max_epochs: float) -> None:
        """Compute alpha(T); called by :class:`TrainingProgressHook`."""
        self.contrast_weight = curriculum_weight(epoch, max_epochs, self.curriculum)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the weighted losses of both branches.

        Args:
            feats: stages; the last one is ((V + 1) B, D): V views of the instance-balanced images,
                then the class-balanced images.
            data_samples: B samples with ``gt_label`` and ``balanced_label``.
            **kwargs: of the classifier's loss.

        Returns:
            ``loss_contrast``, ``loss_ce`` and ``curriculum_weight``, that of the contrast.

        Raises:
            ValueError: the epoch or the class-balanced labels are missing.
        """
        if self.contrast_weight is None:
            raise ValueError(
                'model.head.curriculum: expected to be told the epoch before the first step. Add '
                "custom_hooks=[dict(type='TrainingProgressHook')]"
            )
        if 'balanced_label' not in data_samples[0]:
            raise ValueError(
                'train_dataloader.dataset: expected samples with balanced_label, got none. Wrap '
                "the dataset: dict(type='DualSamplingDataset', dataset=..., "
                'balanced_pipeline=...)'
            )
        labels = hard_labels(data_samples, self)
        # The data preprocessor moves gt_label to the device; this one is where it was loaded.
        balanced = torch.cat([sample.balanced_label for sample in data_samples])
        balanced = balanced.to(labels.device)
        features = self.pre_logits(feats)
        views, others = features[: -len(labels)], features[-len(labels) :]
        contrast = self.contrast_module(
            unit_embeddings(self.projector, views), labels.repeat(len(views) // len(labels))
        )
        logits = self.fc(others)
        classify = self.loss_module(logits, balanced, **kwargs)
        weight = self.contrast_weight
        return dict(
            loss_contrast=weight * contrast,
            loss_ce=(1.0 - weight) * classify,
            curriculum_weight=features.new_full((), weight),
            **self.accuracies(logits, balanced),
        )
