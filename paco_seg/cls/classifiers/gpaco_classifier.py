"""GPaCo for image classification: several views through one encoder."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from paco_seg.cls.classifiers.multi_view_classifier import MultiViewClassifier
from paco_seg.cls.heads.batches import takes_keys, takes_views
from paco_seg.cls.heads.features import check_tensor
from paco_seg.core.checks import check_bool


@MODELS.register_module()
class GPaCoClassifier(MultiViewClassifier):
    """``ImageClassifier`` that trains on one or several views of each image (arXiv 2209.12400).

    The views pass the encoder one after the other, so that BatchNorm computes the statistics of
    each view by itself, as the authors' code does. Prediction is that of ``ImageClassifier``.

    A head of another type (``LinearClsHead`` with ``BalancedSoftmaxLoss``, say) is trained on all
    views as further images: the baseline that sees the same data.

    Args:
        backbone: config, as all further arguments of ``ImageClassifier``.
        joint_pass: all views, of one size, in one pass: faster, one set of BatchNorm statistics.
        **kwargs: ``neck``, ``head``, ``train_cfg``, ``data_preprocessor`` and so on.

    Raises:
        TypeError: the head takes keys of a momentum encoder, as :class:`PaCoClsHead`; or
            ``joint_pass`` is no bool.
        ValueError: batch augmentation with a contrastive head or with several views.

    Example:
        >>> model = dict(type='GPaCoClassifier', backbone=..., neck=..., head=dict(
        ...     type='GPaCoClsHead', num_classes=1000, in_channels=2048))
    """

    def __init__(self, backbone: dict, *, joint_pass: bool = False, **kwargs: Any) -> None:
        check_bool('model.joint_pass', joint_pass)
        super().__init__(backbone, **kwargs)
        if takes_keys(self.head):
            raise TypeError(
                f'model.type: expected PaCoClassifier for {type(self.head).__name__}, whose keys '
                'come from a momentum encoder, got GPaCoClassifier. Set model.type, or take '
                'GPaCoClsHead'
            )
        self.joint_pass = joint_pass

    def loss(self, inputs: Tensor | list[Tensor], data_samples: list[DataSample]) -> dict:
        """Compute the losses of a batch.

        Args:
            inputs: (B, C, H, W), or a list of V such views.
            data_samples: B samples.

        Returns:
            Loss components of the head.

        Raises:
            TypeError: a stage of the backbone is not one tensor.
            ValueError: the views differ in size, and pass together.
        """
        views = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if self.joint_pass:
            sizes = {tuple(view.shape[1:]) for view in views}
            if len(sizes) > 1:
                raise ValueError(
                    f'model.joint_pass: expected views of one size, got {sorted(sizes)}. Set '
                    'joint_pass=False, or one size in the pipeline'
                )
            feats = self.extract_feat(torch.cat(views))
        else:
            passes = [self.extract_feat(view) for view in views]
            for stage in passes[0]:
                check_tensor(stage)
            feats = tuple(torch.cat(stage) for stage in zip(*passes, strict=True))
        if takes_views(self.head):
            return self.head.loss(feats, data_samples, num_views=len(views))
        return self.head.loss(feats, list(data_samples) * len(views))
