"""PaCo for image classification: keys come from a momentum encoder."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.heads.contrastive_cls_head import ContrastiveClsHead


@MODELS.register_module()
class PaCoClsHead(ContrastiveClsHead):
    """Linear classifier trained with PaCo (arXiv 2107.12028); used by :class:`PaCoClassifier`.

    Anchors are the embeddings of view 1; contrast are the same, those of view 2 from the momentum
    encoder, without gradient, and the queue. The projector defaults to 2 layers with BatchNorm.
    Arguments: :class:`ContrastiveClsHead`; ``loss`` is the config of :class:`GPaCoLoss`.
    """

    takes_keys = True
    default_projector: dict = dict(num_layers=2, norm='BN1d')

    @property
    def fewest_images(self) -> int:
        """Fewest images of a batch: a BatchNorm of the projector sees view 1 alone."""
        # SyncBatchNorm has the rows of the other processes.
        return 2 if any(isinstance(part, nn.BatchNorm1d) for part in self.projector) else 1

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], key_embeddings: Tensor
    ) -> dict[str, Tensor]:
        """Compute the loss of the queries; the keys enter the queue.

        Args:
            feats: stages of view 1; the last one is (B, D).
            data_samples: B samples with ``gt_label``.
            key_embeddings: (B, d) unit rows of view 2, from the momentum encoder.

        Returns:
            ``loss``, and the accuracy with ``cal_acc``.
        """
        labels = self._labels(data_samples)
        features = self.pre_logits(feats)
        keys, key_labels = self.queue.contents()
        losses = self._contrast(
            features,
            self.embed(features),
            labels,
            keys=torch.cat([key_embeddings.to(keys.dtype), keys]),
            key_labels=torch.cat([labels, key_labels]),
        )
        self._enqueue(key_embeddings, labels)
        return losses
