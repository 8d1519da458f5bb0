"""A classifier on the first view, a contrast of the others: what BCL and ProCo have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.heads.features import hard_labels, unit_embeddings
from paco_seg.cls.heads.loss_config import with_defaults
from paco_seg.cls.heads.pooled_cls_head import PooledClsHead
from paco_seg.cls.heads.projector import linear_projector
from paco_seg.core.checks import check_range
from paco_seg.core.compared.ldam import cosine_logits


class ClassifyAndContrastHead(PooledClsHead):
    """Cross entropy with the class prior on view 1, a contrast of the projections of the others.

    Projector, contrast and prior exist in training only. Without ``scale`` the prediction is that
    of ``LinearClsHead``, and ``fc`` has its key.

    Args:
        num_classes: C.
        in_channels: D, width of the pooled feature.
        loss_contrast: config of the contrast.
        projector: arguments of :func:`linear_projector`; two layers with BatchNorm by default.
        scale: None is a linear classifier; a number makes it a cosine classifier times that
            number, without bias and with rows that start with length 1 (30 in the recipes of
            ImageNet-LT and iNaturalist).
        loss: config of the classifier's loss.
        topk: for ``cal_acc``.
        cal_acc: log the accuracy on the first view.
        init_cfg: None is PyTorch's initialisation; ``override=dict(name='fc')`` restricts another
            one to the classifier.

    Raises:
        ValueError: a setting is out of range, or the prior has another length than num_classes.
    """

    takes_views = True
    accepts_mixed_images = False
    required_hooks: tuple[str, ...] = ('ClassCountHook',)

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss_contrast: dict | nn.Module,
        projector: dict | None = None,
        scale: float | None = None,
        loss: dict | nn.Module | None = None,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        loss = with_defaults(loss, type='BalancedSoftmaxLoss')
        super().__init__(
            num_classes,
            in_channels,
            loss=loss,
            topk=(topk,) if isinstance(topk, int) else topk,
            cal_acc=cal_acc,
            init_cfg=init_cfg,
        )
        self.projector_settings = {
            'num_layers': 2,
            'out_channels': 128,
            'norm': 'BN1d',
            **(projector or {}),
        }
        self.projector = linear_projector(in_channels, **self.projector_settings)
        self.scale = scale
        if scale is not None:
            check_range('model.head.scale', scale, low=0.0, low_open=True)
            self.fc = nn.Linear(in_channels, num_classes, bias=False)
            with torch.no_grad():
                self.fc.weight.copy_(F.normalize(self.fc.weight.uniform_(-1, 1)))
        self.contrast_module: nn.Module = (
            loss_contrast if isinstance(loss_contrast, nn.Module) else MODELS.build(loss_contrast)
        )
        for part in (self.loss_module, self.contrast_module):
            prior = getattr(part, 'class_prior', None)
            if prior is not None:
                prior.check_length(num_classes)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits, (N, C)."""
        return self._logits(self.pre_logits(feats))

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], num_views: int = 1
    ) -> dict[str, Tensor]:
        """Compute the losses of all views.

        Args:
            feats: stages; the last one is (V B, D), view after view.
            data_samples: B samples with ``gt_label``.
            num_views: V.

        Returns:
            ``loss_ce`` of view 1, ``loss_contrast`` of views 2 to V, and the accuracy with
            ``cal_acc``.

        Raises:
            ValueError: there is one view.
        """
        if num_views < 2:
            raise ValueError(
                'data_preprocessor.num_views: expected a view for the classifier and at least one '
                f'for the contrast of {type(self).__name__}, got {num_views}. Set it to 3, and '
                'give MultiView three views'
            )
        labels = hard_labels(data_samples, self)
        features = self.pre_logits(feats)
        logits = self._logits(features[: len(labels)])
        embeddings = unit_embeddings(self.projector, features[len(labels) :])
        return dict(
            loss_ce=self.loss_module(logits, labels),
            loss_contrast=self._contrast(embeddings, labels.repeat(num_views - 1)),
            **self.accuracies(logits, labels),
        )

    def _contrast(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the contrast of (N, d) unit rows."""
        return self.contrast_module(embeddings, labels)

    def _logits(self, features: Tensor) -> Tensor:
        if self.scale is None:
            return self.fc(features)
        return self.scale * cosine_logits(features, self.fc.weight)
