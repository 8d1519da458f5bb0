"""PaCo for image classification: view 1 through the encoder, view 2 through its momentum copy."""

from __future__ import annotations

from typing import Any, Literal

import mmengine.dist
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from paco_seg.cls.classifiers.momentum_encoder import MomentumEncoder
from paco_seg.cls.classifiers.multi_view_classifier import MultiViewClassifier
from paco_seg.cls.heads.batches import takes_keys
from paco_seg.core.distributed import gather_rows, rank, world_size


@MODELS.register_module()
class PaCoClassifier(MultiViewClassifier):
    """``ImageClassifier`` with a momentum encoder for the keys (arXiv 2107.12028).

    The momentum encoder is updated at the start of each training forward. With several processes
    and BatchNorm in the encoder, the key images are shuffled over the processes, so that the
    statistics of a key's batch do not reveal its query (MoCo, arXiv 1911.05722, 3.3).

    State-dict keys: those of ``ImageClassifier``, ``head.projector.*``, ``head.queue.*`` and
    ``momentum_encoder.{backbone,neck,projector}.*``. Without the last ones in a checkpoint, the
    momentum encoder starts as a copy of the loaded encoder.

    Args:
        backbone: config, as all further arguments of ``ImageClassifier``.
        head: config of :class:`PaCoClsHead`.
        momentum: m in [0, 1], the share of the momentum encoder that stays; 'auto' = the published
            0.999, less in short trainings (:func:`~.momentum_encoder.momentum_of`).
        **kwargs: of ``ImageClassifier``.

    Raises:
        TypeError: the head does not take keys, as :class:`PaCoClsHead` does.
        ValueError: batch augmentation or another number of views is configured, or ``momentum`` is
            out of range.
    """

    def __init__(
        self,
        backbone: dict,
        *,
        head: dict,
        momentum: float | Literal['auto'] = 0.999,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, head=head, **kwargs)
        if not takes_keys(self.head):
            raise TypeError(
                f"model.head.type: expected 'PaCoClsHead', got {type(self.head).__name__!r}. "
                'PaCoClassifier passes keys to its head; GPaCoClassifier takes other heads'
            )
        _check_views(getattr(self.data_preprocessor, 'num_views', 2))
        self.momentum_encoder = MomentumEncoder(self._encoder(), momentum)
        self._has_batch_norm = any(
            isinstance(module, _BatchNorm) for module in self.momentum_encoder.modules()
        )

    def loss(self, inputs: list[Tensor], data_samples: list[DataSample]) -> dict:
        """Compute the losses of a batch.

        Args:
            inputs: two views (B, C, H, W): queries and keys.
            data_samples: B samples.

        Returns:
            Loss components of the head.

        Raises:
            ValueError: not two views.
        """
        _check_views(1 if isinstance(inputs, Tensor) else len(inputs))
        queries, key_images = inputs
        with torch.no_grad():
            if self.training:
                self.momentum_encoder.update(self._encoder())
            keys = self._keys(key_images)
        return self.head.loss(self.extract_feat(queries), data_samples, key_embeddings=keys)

    def _encoder(self) -> dict[str, nn.Module]:
        modules = {'backbone': self.backbone, 'projector': self.head.projector}
        if self.with_neck:
            modules['neck'] = self.neck
        return modules

    def _keys(self, images: Tensor) -> Tensor:
        """Compute the embeddings of view 2, (B, d), in the order of the images."""
        if world_size() == 1 or not self._has_batch_norm:
            return self._encode_keys(images)
        parts = gather_rows(images)
        counts = [len(part) for part in parts]
        order = torch.randperm(sum(counts), device=images.device)
        mmengine.dist.broadcast(order)
        shuffled = self._encode_keys(torch.cat(parts)[order.split(counts)[rank()]])
        gathered = torch.cat(gather_rows(shuffled))  # row i belongs to image order[i]
        keys = torch.empty_like(gathered)
        keys[order] = gathered
        return keys.split(counts)[rank()]

    def _encode_keys(self, images: Tensor) -> Tensor:
        encoder = self.momentum_encoder
        feats = encoder.get_submodule('backbone')(images)
        if self.with_neck:
            feats = encoder.get_submodule('neck')(feats)
        return self.head.embed(self.head.pre_logits(feats), encoder.get_submodule('projector'))


def _check_views(found: int) -> None:
    if found != 2:
        raise ValueError(
            'data_preprocessor.num_views: expected 2 views (query and key) for PaCoClassifier, '
            f"got {found}. Use dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2])"
        )
