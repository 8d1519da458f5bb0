"""The cosine classifier of LIFT, whose rows start from class vectors."""

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
from paco_seg.core.checks import check_range, check_shape
from paco_seg.core.compared.ldam import cosine_logits


@MODELS.register_module()
class LIFTClsHead(PooledClsHead):
    """Cosine classifier with the class prior in training (arXiv 2309.10019).

    ``fc`` has no bias; logits are the cosines times ``scale``.

    Args:
        num_classes: C.
        in_channels: D, width of the pooled feature.
        scale: > 0.
        start: what the rows start from. ``'class-mean'``: the means of the unit features of the
            training images, through :class:`ClassMeanStartHook`. A file: a tensor (C, D), or a
            dict with it under ``class_vectors``, such as projected text features. None: random
            directions, or those of ``load_from``.
        loss: config of :class:`BalancedSoftmaxLoss`, the type may be left out.
        **kwargs: of ``LinearClsHead``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: ``scale`` is not positive, the vectors have another shape, or given class counts
            have another length than num_classes.

    Example:
        >>> head = dict(type='LIFTClsHead', num_classes=1000, in_channels=768)
        >>> custom_hooks = [dict(type='ClassCountHook'), dict(type='ClassMeanStartHook')]
    """

    required_hooks = ('ClassMeanStartHook',)
    accepts_mixed_images = False

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        scale: float = 25.0,
        start: str | None = 'class-mean',
        loss: dict | nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        loss = with_defaults(loss, type='BalancedSoftmaxLoss')
        super().__init__(num_classes, in_channels, loss=loss, **{'init_cfg': None, **kwargs})
        check_range('model.head.scale', scale, low=0.0, low_open=True)
        prior = getattr(self.loss_module, 'class_prior', None)
        if prior is not None:
            prior.check_length(num_classes)
        self.scale = scale
        if start is not None and not isinstance(start, str):
            raise TypeError(
                "model.head.start: expected 'class-mean', the path of a file or None, got "
                f'{start!r}'
            )
        self.start = start
        self.fc = nn.Linear(in_channels, num_classes, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(F.normalize(torch.randn_like(self.fc.weight)))

    @property
    def starts_from_means(self) -> bool:
        """Whether the rows start from the means of the training images."""
        return self.start == 'class-mean'

    def init_weights(self) -> None:
        """Load the class vectors where ``start`` names a file."""
        super().init_weights()
        if self.start is not None and not self.starts_from_means:
            vectors = torch.load(self.start, map_location='cpu', weights_only=True)
            vectors = vectors.get('class_vectors') if isinstance(vectors, dict) else vectors
            if not isinstance(vectors, Tensor):
                raise ValueError(
                    f'model.head.start: expected a tensor of class vectors in {self.start!r}, got '
                    f'{type(vectors).__name__}. Save one (C, D), or a dict with class_vectors'
                )
            check_shape('model.head.start', vectors, tuple(self.fc.weight.shape))
            self.set_rows(vectors)

    @torch.no_grad()
    def set_rows(self, vectors: Tensor, chosen: Tensor | None = None) -> None:
        """Take the directions of vectors (C, D) as rows, of ``chosen`` (C,) classes alone."""
        rows = F.normalize(vectors.to(self.fc.weight), dim=1)
        if chosen is not None:
            rows = torch.where(chosen.unsqueeze(1), rows, self.fc.weight)
        self.fc.weight.copy_(rows)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute scaled cosines, (N, C)."""
        return self.scale * cosine_logits(self.pre_logits(feats), self.fc.weight)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch; arguments as in ``ClsHead``."""
        labels = hard_labels(data_samples, self)
        logits = self(feats)
        loss = self.loss_module(logits, labels, **kwargs)
        return dict(loss=loss, **self.accuracies(logits, labels))
