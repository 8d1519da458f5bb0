"""Projector, key queue and contrastive loss beside a linear classifier."""

from __future__ import annotations

from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.heads.features import hard_labels, unit_embeddings
from paco_seg.cls.heads.loss_config import with_defaults
from paco_seg.cls.heads.pooled_cls_head import PooledClsHead
from paco_seg.cls.heads.projector import linear_projector
from paco_seg.core import KeyQueue
from paco_seg.core.distributed import world_size
from paco_seg.engine.dropped_keys import DroppedKeys


class ContrastiveClsHead(PooledClsHead):
    """What GPaCo, PaCo and the multi-task baseline have in common.

    Projector, queue and prior exist in training only: prediction is that of ``LinearClsHead``,
    ``fc`` has its key, and a checkpoint of either loads into the other. It needs pooled features
    (B, in_channels): a ``GlobalAveragePooling`` neck, or a backbone that pools itself
    (``out_type='avg_featmap'`` or ``'cls_token'`` of ViT, ``gap_before_final_norm`` of ConvNeXt).

    Args:
        num_classes: C.
        in_channels: D, width of the pooled feature.
        projector: arguments of :func:`linear_projector`.
        queue_size: keys of past images, at least the images of a step over all processes.
        loss: config of the loss; called with embeddings, labels, logits, keys and key_labels.
        topk: for ``cal_acc``.
        cal_acc: log the accuracy of the anchors.
        init_cfg: None is PyTorch's initialisation, as the authors'. ``override=dict(name='fc')``
            restricts another one to the classifier.

    Raises:
        ValueError: a setting is out of range, or the prior has another length than num_classes.
    """

    # What a classifier has to know of the batch that loss() takes (see heads/batches.py), and the
    # hook that fills the prior and checks queue and views ahead of the first step.
    accepts_mixed_images = False
    required_hooks = ('ClassCountHook',)
    default_loss: dict = dict(type='GPaCoLoss')
    default_projector: dict = dict()

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        projector: dict | None = None,
        queue_size: int = 8192,
        loss: dict | nn.Module | None = None,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            loss=with_defaults(loss, **self.default_loss),
            topk=(topk,) if isinstance(topk, int) else topk,
            cal_acc=cal_acc,
            init_cfg=init_cfg,
        )
        settings = {'out_channels': 128, **self.default_projector, **(projector or {})}
        self.projector = linear_projector(in_channels, **settings)
        self.queue = KeyQueue(queue_size, settings['out_channels'])
        self._dropped_keys = DroppedKeys('model.head.queue')
        prior = getattr(self.loss_module, 'class_prior', None)
        if prior is not None:
            prior.check_length(num_classes)

    def contrast_rows(self, batch_size: int, num_views: int) -> tuple[int, int]:
        """Count the contrast rows of an anchor, once the queue is full.

        Args:
            batch_size: images per process.
            num_views: views per image.

        Returns:
            Rows of other images, and rows of the image itself (certain positives).
        """
        return len(self.queue) + num_views * (batch_size - 1), num_views - 1

    def embed(self, features: Tensor, projector: nn.Module | None = None) -> Tensor:
        """Project to embeddings of unit length, (N, D) -> (N, d), at least float32.

        Args:
            features: pooled features.
            projector: instead of the head's own.
        """
        return unit_embeddings(projector or self.projector, features)

    def _contrast(
        self, features: Tensor, embeddings: Tensor, labels: Tensor, **keys: Tensor
    ) -> dict[str, Tensor]:
        logits = self.fc(features)
        loss = self.loss_module(embeddings, labels, logits, **keys)
        return dict(loss=loss, **self.accuracies(logits, labels))

    def _enqueue(self, keys: Tensor, labels: Tensor) -> None:
        if not self.training:  # a loss on validation data leaves no trace
            return
        self.queue.enqueue(keys, labels)
        self._dropped_keys.report(self.queue)

    def check_batch(self, batch_size: int) -> None:
        """Refuse a step with more images than the queue holds.

        Args:
            batch_size: images per process.

        Raises:
            ValueError: names the key and both numbers.
        """
        images = batch_size * world_size()
        if images > len(self.queue):
            raise ValueError(
                f'model.head.queue_size: expected at least the {images} images of a step '
                f'({batch_size} per process), got {len(self.queue)}. Use a longer queue, '
                'or a smaller train_dataloader.batch_size'
            )

    def _labels(self, data_samples: list[DataSample]) -> Tensor:
        """Read class indices (B,), after the checks of a step that cost no synchronisation."""
        labels = hard_labels(data_samples, self)
        self.check_batch(len(data_samples))
        return labels
