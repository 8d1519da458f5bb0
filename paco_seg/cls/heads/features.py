"""What the heads read from a batch: pooled features, unit embeddings, class indices."""

from __future__ import annotations

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.core.embeddings import unit_rows


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
    """Return the pooled feature of the last stage, (N, D).

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
    """Project features to unit length, (N, D) -> (N, d), at least float32."""
    return unit_rows(projector(features))


def hard_labels(data_samples: list[DataSample], head: nn.Module) -> Tensor:
    """Read the one class index of each sample, (N,).

    Args:
        data_samples: N samples of a batch.
        head: to name in errors.

    Raises:
        ValueError: batch augmentation or one-hot conversion has made the labels soft, or the data
            set gives a sample no label or several.
    """
    name = type(head).__name__
    if 'gt_score' in data_samples[0]:
        raise ValueError(
            f'model.train_cfg.augments: expected hard labels for {name}, got samples with '
            'gt_score. An image of two classes belongs to none of them: remove Mixup and CutMix '
            '(model.train_cfg=None), and data_preprocessor.to_onehot; of multi-label data, use a '
            'data set with one label per image'
        )
    labels = [sample.get('gt_label') for sample in data_samples]
    for sample, label in zip(data_samples, labels, strict=True):
        found = 0 if label is None else label.numel()  # of a shape: no synchronisation
        if found != 1:
            where = sample.get('img_path') or 'a sample'
            raise ValueError(
                f'train_dataloader.dataset: expected one class index per image for {name}, got '
                f'{found} labels for {where}. It is a head for single-label data: use a data set '
                "with one label per image, or a multi-label head such as 'MultiLabelLinearClsHead'"
            )
    return torch.cat(labels)
