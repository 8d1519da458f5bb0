"""What classifiers on several views have in common: their batches, and no mixed images."""

from __future__ import annotations

from typing import Any

from mmpretrain.models import ImageClassifier
from torch import nn

from paco_seg.cls.heads.batches import accepts_mixed_images


class MultiViewClassifier(ImageClassifier):
    """``ImageClassifier`` whose training batches hold several views.

    Args:
        backbone: config, as all further arguments of ``ImageClassifier``.
        train_cfg: batch augmentation (Mixup, CutMix) is refused with a contrastive head, and with
            any head where a batch has several views: it would mix the first view alone.
        data_preprocessor: :class:`MultiViewClsDataPreprocessor` unless it names a type.
        **kwargs: ``neck``, ``head``, ``pretrained`` and ``init_cfg`` of ``ImageClassifier``.

    Raises:
        ValueError: batch augmentation with a contrastive head or with several views.
    """

    def __init__(
        self,
        backbone: dict,
        *,
        train_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            defaults = dict(type='MultiViewClsDataPreprocessor')
            data_preprocessor = {**defaults, **(data_preprocessor or {})}
        super().__init__(
            backbone, train_cfg=train_cfg, data_preprocessor=data_preprocessor, **kwargs
        )
        augments = getattr(self.data_preprocessor, 'batch_augments', None)
        if augments is None:
            return
        names = [type(augment).__name__ for augment in augments.augments if augment]
        if self.with_head and not accepts_mixed_images(self.head):
            raise ValueError(
                f'model.train_cfg.augments: expected none with {type(self.head).__name__}, got '
                f'{names}. A mixed image has no positives: set model.train_cfg=None'
            )
        num_views = getattr(self.data_preprocessor, 'num_views', 1)
        if num_views > 1:
            raise ValueError(
                f'model.train_cfg.augments: expected none with data_preprocessor.num_views='
                f'{num_views}, got {names}. Only the first view would be mixed, and its labels '
                'would be wrong for the others: set model.train_cfg=None, or num_views=1'
            )
