"""Stage one of SupCon: features learned by contrast, without a classifier."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.heads.features import hard_labels, pooled_features, unit_embeddings
from paco_seg.cls.heads.projector import linear_projector


@MODELS.register_module()
class SupConPretrainHead(BaseModule):
    """Projector and supervised contrast on all views of a batch (arXiv 2004.11362).

    For :class:`GPaCoClassifier`, which hands over the views. Stage two freezes the backbone
    (:class:`FrozenFeatureClassifier`) and trains a stock ``LinearClsHead``. A classifier that is
    trained at the same time is :class:`MultiTaskSupConClsHead`.

    Args:
        in_channels: width of the pooled feature.
        projector: arguments of :func:`linear_projector`; two layers by default.
        loss: config of :class:`SupConLoss`, the type may be left out.
        init_cfg: None is PyTorch's initialisation.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> model = dict(type='GPaCoClassifier', joint_pass=True, backbone=..., neck=...,
        ...     head=dict(type='SupConPretrainHead', in_channels=2048, loss=dict(temperature=0.1)))
    """

    def __init__(
        self,
        in_channels: int,
        *,
        projector: dict | None = None,
        loss: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.projector = linear_projector(in_channels, **{'num_layers': 2, **(projector or {})})
        if isinstance(loss, nn.Module):
            self.loss_module = loss
        else:
            self.loss_module = MODELS.build({'type': 'SupConLoss', **(loss or {})})

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute embeddings of unit length, (N, d)."""
        return unit_embeddings(self.projector, pooled_features(feats, self.in_channels))

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Compute the contrast of all rows.

        Args:
            feats: stages; the last one is (V B, D), view after view.
            data_samples: the V B samples with ``gt_label``.

        Returns:
            ``loss``.
        """
        return dict(loss=self.loss_module(self(feats), hard_labels(data_samples, self)))

    def predict(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to predict: there is no classifier yet.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            'model.head: expected a head with a classifier for evaluation, got SupConPretrainHead. '
            'Train stage two on this checkpoint, and set val_cfg, val_dataloader and '
            'val_evaluator of stage one to None'
        )
