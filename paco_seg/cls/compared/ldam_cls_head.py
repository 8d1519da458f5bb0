"""The cosine classifier of LDAM."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.heads.features import hard_labels
from paco_seg.cls.heads.loss_config import with_defaults
from paco_seg.cls.heads.pooled_cls_head import PooledClsHead
from paco_seg.core.compared.ldam import cosine_logits


@MODELS.register_module()
class LDAMClsHead(PooledClsHead):
    """Cosine classifier trained with margins by class frequency (arXiv 1906.07413).

    ``fc`` has no bias; its rows start with length 1, as released.
    Logits are the cosines times the scale of the loss; margins and class
    weights exist in training only.

    Args:
        num_classes: C.
        in_channels: width of the pooled feature.
        loss: config of :class:`LDAMLoss`, the type may be left out.
        **kwargs: of ``LinearClsHead``.

    Raises:
        ValueError: given class counts have another length than num_classes.

    Example:
        >>> head = dict(type='LDAMClsHead', num_classes=100, in_channels=64,
        ...     loss=dict(drw_start_epoch=160))
        >>> custom_hooks = [dict(type='ClassCountHook'), dict(type='TrainingProgressHook')]
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss: dict | nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        loss = with_defaults(loss, type='LDAMLoss')
        super().__init__(num_classes, in_channels, loss=loss, **{'init_cfg': None, **kwargs})
        self.loss_module.class_counts.check_length(num_classes)
        self.fc = nn.Linear(in_channels, num_classes, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(F.normalize(self.fc.weight.uniform_(-1, 1)))

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute scaled cosines, (N, C)."""
        return self.loss_module.scale * self._cosines(feats)

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            feats: stages; the last one is (N, D).
            data_samples: N samples with ``gt_label``.

        Returns:
            ``loss``.
        """
        labels = hard_labels(data_samples, self)
        cosines = self._cosines(feats)
        return dict(loss=self.loss_module(cosines, labels), **self.accuracies(cosines, labels))

    def _cosines(self, feats: tuple[Tensor, ...]) -> Tensor:
        return cosine_logits(self.pre_logits(feats), self.fc.weight)
