"""GPaCo beside a decode head: sampler, projector, queue and one call of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core import KeyQueue
from paco_seg.core.checks import check_count, check_shape
from paco_seg.core.embeddings import unit_rows
from paco_seg.core.frequency import check_num_classes, load_class_frequency
from paco_seg.core.sampling import per_class_mask, take_rows
from paco_seg.engine.dropped_keys import DroppedKeys
from paco_seg.seg.heads.pixel_sampler import PixelSampler
from paco_seg.seg.heads.projector import EMBED_CHANNELS, conv_projector
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch
from paco_seg.seg.losses.pixel_gpaco_loss import QUEUE_SETTINGS, SAMPLER_SETTINGS

KEY = 'loss_contrast'


@MODELS.register_module()
class GPaCoBranch(TrainingBranch):
    """Pixels of a feature map under the GPaCo loss (arXiv 2209.12400, semantic segmentation).

    The sampler draws pixels, the projector and the normalisation turn them into unit embeddings,
    the queue remembers some of them, and the loss makes one number of all.

    Args:
        in_channels: D of the tapped feature; the head fills it in.
        num_classes: C; the head fills it in.
        norm_cfg: norm of the projector; default that of the head, else SyncBN.
        projector: arguments of :func:`conv_projector`.
        loss_contrast: settings of :class:`PixelSampler` (``num_pixels``, ``pixel_selection``,
            ``importance_weights``), of the queue, and of :class:`PixelGPaCoLoss`, which ``type``
            names. Those of the queue are ``queue_size``: slots of a queue of pixels of earlier
            images, contrasted by every image (0 = no queue), and ``queue_pixels_per_class``: pixels
            of each class that each image adds to it (10).

    Raises:
        ValueError: a setting is out of range, or ``frequency_file`` is of another data set.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        norm_cfg: dict | None = None,
        projector: dict | None = None,
        loss_contrast: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        layers: dict[str, Any] = dict(projector or {})
        layers.setdefault('norm_cfg', norm_cfg or dict(type='SyncBN', requires_grad=True))
        channels = layers.setdefault('out_channels', EMBED_CHANNELS)
        self.projector = conv_projector(in_channels, **layers)
        settings: dict[str, Any] = {'type': 'PixelGPaCoLoss', **(loss_contrast or {})}
        self.sampler = PixelSampler(**_taken(settings, SAMPLER_SETTINGS))
        self.queue = self._build_queue(settings, channels)
        if settings.get('frequency_file'):
            key = f'{KEY}.frequency_file'
            frequency = load_class_frequency(settings['frequency_file'], key)
            check_num_classes(frequency, num_classes, key, 'as in the head')
        self.loss_contrast = MODELS.build(settings)

    def _build_queue(self, settings: dict[str, Any], channels: int) -> KeyQueue | None:
        names = (*QUEUE_SETTINGS, 'embed_channels')  # the last was a setting of earlier versions
        given = {'queue_size': 0, 'queue_pixels_per_class': 10, **_taken(settings, names)}
        size, per_class = given['queue_size'], given['queue_pixels_per_class']
        check_count(f'{KEY}.queue_size', size)
        check_count(f'{KEY}.queue_pixels_per_class', per_class, low=1)
        if given.get('embed_channels') not in (None, channels):
            raise ValueError(
                f'{KEY}.embed_channels: expected {channels} as projector.out_channels, got '
                f'{given["embed_channels"]!r}. Leave it out'
            )
        self.queue_pixels_per_class = per_class
        self._dropped_keys = DroppedKeys(f'{KEY}.queue')
        return KeyQueue(size, channels) if size else None

    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """Compute one loss, under ``loss_contrast.loss_name``.

        With ``loss_weight='auto'`` its weight stands beside it in the log: ``weight_gpaco``.

        Raises:
            ShapeError: features, logits and labels are not on one grid.
            ValueError: a label is neither a class nor the ignored one.
        """
        features, ignore_index = inputs.features, inputs.ignore_index
        batch, _, *size = features.shape
        check_shape('labels', inputs.feature_labels, (batch, *size))
        check_shape('center_logits', inputs.logits, (batch, 'C', *size))
        # The norms of the projector see all pixels; its last layer only those that are drawn.
        points = features.dim() == 3  # sampled points as a map of width 1
        hidden = self.projector[:-1](features.unsqueeze(-1) if points else features)
        rows, logits = hidden.flatten(2), inputs.logits.flatten(2)  # (B, K, pixels)
        labels = inputs.feature_labels.flatten(1).long()
        indices, weights = self.sampler(logits, labels), None
        if indices is None:
            rows, logits = rows.transpose(1, 2), logits.transpose(1, 2)
        else:
            rows, logits = take_rows(rows, indices), take_rows(logits, indices)
            drawn = labels.gather(1, indices)
            weights = self.sampler.anchor_weights(labels, drawn, logits.shape[2])
            labels = drawn
        embeddings = unit_rows(self._project(rows))
        keys, key_labels = (None, None) if self.queue is None else self.queue.contents()
        options: dict[str, Any] = {}  # of this loss, which a loss of one's own need not take
        if weights is not None:
            options['anchor_weights'] = weights
        balance = getattr(self.loss_contrast, 'gradient_balance', None)
        if balance is not None:
            options['main'] = inputs.main_task()
        name = self.loss_contrast.loss_name
        losses = {
            name: self.loss_contrast(
                embeddings,
                labels,
                logits,
                ignore_index=ignore_index,
                keys=keys,
                key_labels=key_labels,
                **options,
            )
        }
        if balance is not None:
            losses[f'weight{name.removeprefix("loss")}'] = balance.weight()
        self._enqueue(embeddings, labels, logits.shape[2])
        return losses

    def _project(self, rows: Tensor) -> Tensor:
        """Apply the last 1x1 convolution to rows (B, N, hidden) instead of a map."""
        layer = cast(nn.Conv2d, self.projector[-1])
        return F.linear(rows, layer.weight.flatten(1), layer.bias)

    def _enqueue(self, embeddings: Tensor, labels: Tensor, num_classes: int) -> None:
        if self.queue is None or not self.training:  # a loss on validation data leaves no trace
            return
        chosen = per_class_mask(labels, num_classes, self.queue_pixels_per_class).flatten()
        # How many were chosen only the device knows; the host knows how many there can be.
        most = len(labels) * num_classes * self.queue_pixels_per_class
        first = chosen.byte().argsort(descending=True, stable=True)[:most]
        rows, labels = embeddings.flatten(0, 1), labels.flatten()
        self.queue.enqueue(rows[first], labels[first], chosen[first])
        self._dropped_keys.report(self.queue)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # The queue of earlier versions belonged to the loss.
        former = f'{prefix}loss_contrast.queue.'
        for key in [key for key in state_dict if key.startswith(former)]:
            state_dict[f'{prefix}queue.{key[len(former) :]}'] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _taken(settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Take the named settings out."""
    return {name: settings.pop(name) for name in names if name in settings}
