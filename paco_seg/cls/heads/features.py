"""What the heads read from a batch: pooled features, unit embeddings, class indices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn


def check_tensor(stage: Tensor) -> None:
    """Refuse a stage of several tensors: the two tokens of a distilled vision transformer.

    Raises:
        TypeError: names the key and the tensors.
    """
    if not isinstance(stage, Tensor):
        raise TypeError(
            f'model.backbone: expected one tensor per stage, got a {type(stage).__name__} of '
            f"{len(stage)} (class and distillation token?). Use type='VisionTransformer' instead "
            "of 'DistilledVisionTransformer'"
        )


def pooled_features(feats: tuple[Tensor, ...], in_channels: int) -> Tensor:
    """The pooled feature of the last stage, (N, D).

    Args:
        feats: stages.
        in_channels: D, as the head was built.

    Raises:
        TypeError: the stage is not one tensor.
        ValueError: it is not pooled, or of another width.
    """
    features = feats[-1]
    check_tensor(features)
    if features.dim() != 2 or features.shape[1] != in_channels:
        remedy = (
            f'Set model.head.in_channels={features.shape[1]}'
            if features.dim() == 2
            else "Add model.neck=dict(type='GlobalAveragePooling'), or let the backbone pool"
        )
        raise ValueError(
            f'model.head.in_channels: expected pooled features (N, {in_channels}), got '
            f'{tuple(features.shape)}. {remedy}'
        )
    return features


def unit_embeddings(projector: nn.Module, features: Tensor) -> Tensor:
    """Projected features of unit length, (N, D) -> (N, d), at least float32.

    Half precision would round the unit length to three digits.
    """
    embeddings = projector(features)
    return F.normalize(embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)))


def hard_labels(data_samples: list[DataSample]) -> Tensor:
    """Class indices of the samples, (N,).

    Raises:
        ValueError: batch augmentation or one-hot conversion has made them soft.
    """
    if 'gt_score' in data_samples[0]:
        raise ValueError(
            'model.train_cfg.augments: expected hard labels, got samples with gt_score. An image '
            'of two classes belongs to none of them: remove Mixup and CutMix '
            '(model.train_cfg=None), and data_preprocessor.to_onehot'
        )
    return torch.cat([sample.gt_label for sample in data_samples])
