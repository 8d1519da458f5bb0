"""GPaCo for image classification."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from paco_seg.cls.heads.contrastive_cls_head import ContrastiveClsHead


@MODELS.register_module()
class GPaCoClsHead(ContrastiveClsHead):
    """Linear classifier trained with GPaCo (arXiv 2209.12400); its rows are the class centers.

    Anchors are the embeddings of all views, which all take gradient; contrast are the same and the
    queue. Arguments: :class:`ContrastiveClsHead`; ``loss`` is the config of :class:`GPaCoLoss`.

    Example:
        >>> model = dict(type='GPaCoClassifier', head=dict(type='GPaCoClsHead', num_classes=1000,
        ...     in_channels=2048, loss=dict(type='GPaCoLoss', alpha=0.05, temperature=0.2)))
    """

    takes_views = True

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], num_views: int = 1
    ) -> dict[str, Tensor]:
        """Compute the loss of all views; the embeddings of the last view enter the queue.

        Args:
            feats: stages; the last one is (V B, D), view after view.
            data_samples: B samples with ``gt_label``.
            num_views: V.

        Returns:
            ``loss``, and the accuracy with ``cal_acc``.
        """
        labels = self._labels(data_samples)
        features = self.pre_logits(feats)
        embeddings = self.embed(features)
        keys, key_labels = self.queue.contents()
        losses = self._contrast(
            features, embeddings, labels.repeat(num_views), keys=keys, key_labels=key_labels
        )
        self._enqueue(embeddings[-len(labels) :], labels)
        return losses
