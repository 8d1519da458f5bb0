"""GPaCo on the pixels of feature maps: selection, normalisation, one call of the core."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core import KeyQueue, parametric_contrastive_loss
from paco_seg.core.checks import check_choice, check_range, check_shape
from paco_seg.core.contrast import EMPTY, IMPLEMENTATIONS
from paco_seg.core.distributed import all_reduce_sum, gather_rows, rank, world_size
from paco_seg.core.sampling import (
    class_balance_weights,
    hardness_weights,
    per_class_mask,
    take_rows,
    uniform_indices,
    weighted_indices,
)
from paco_seg.seg.losses.pixel_alpha import PixelAlpha

SCOPES = ('image', 'batch', 'world')
SELECTIONS = ('uniform', 'class_balanced', 'hard')


@MODELS.register_module()
class PixelGPaCoLoss(nn.Module):
    """Pixel-level GPaCo loss (arXiv 2209.12400, semantic segmentation).

    The defaults are the paper's; every option below ``contrast_ignored`` is off by default.

    Args:
        alpha: weight of a pixel positive relative to the class center, > 0. The paper uses .01
            to .03 with 8192 pixels; what acts is alpha times the positives of a pixel. 'auto'
            derives it from ``frequency_file`` (see :class:`PixelAlpha`).
        temperature: T > 0 of the similarities between pixels.
        beta: weight of the center positive, > 0.
        gamma: weight of the pixel part of the denominator, >= 0.
        num_pixels: pixels drawn per image without replacement; -1 = all.
        scope: which pixels see each other: those of one 'image' (the paper), of the 'batch' of
            this process, or of the batches of all processes ('world', with gradient).
        contrast_ignored: whether ignored pixels stay in the contrast set as negatives, as in
            the released code.
        pixel_selection: how pixels are drawn: 'uniform' (the paper), 'class_balanced' (every
            class present in the image is drawn equally often, as far as it has pixels) or 'hard'
            (in proportion to one minus the predicted probability of the true class).
        warmup_iters: the loss weight grows linearly from 0 over these iterations; for training
            from scratch.
        queue_size: slots of a queue of pixels of earlier images, contrasted by every image;
            0 = no queue. Needs ``embed_channels``.
        queue_pixels_per_class: pixels of each class that each image adds to the queue.
        embed_channels: channels of the embeddings, needed by the queue; the GPaCo branch fills
            it in.
        frequency_file: JSON of class frequencies; reports alpha |P| by class group, and feeds
            ``alpha='auto'``.
        loss_weight: factor of the loss.
        loss_name: key of the loss in the log; has to start with ``loss`` to be summed.
        impl: implementation of the core, 'auto', 'dense' or 'streaming'.
        chunk_size: tile side of the streaming implementation; None = from a memory budget.

    Raises:
        TypeError, ValueError: a setting is out of range; the message starts with
            ``loss_contrast.<key>``.
    """

    def __init__(
        self,
        *,
        alpha: float | str = 0.01,
        temperature: float = 0.07,
        beta: float = 1.0,
        gamma: float = 1.0,
        num_pixels: int = 8192,
        scope: str = 'image',
        contrast_ignored: bool = True,
        pixel_selection: str = 'uniform',
        warmup_iters: int = 0,
        queue_size: int = 0,
        queue_pixels_per_class: int = 10,
        embed_channels: int | None = None,
        frequency_file: str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_gpaco',
        impl: str = 'auto',
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        where = 'loss_contrast'
        check_range(
            f'{where}.temperature',
            temperature,
            low=0.0,
            low_open=True,
            remedy='The paper uses 0.07',
        )
        check_range(f'{where}.beta', beta, low=0.0, low_open=True)
        check_range(f'{where}.gamma', gamma, low=0.0)
        check_range(f'{where}.loss_weight', loss_weight, low=0.0)
        check_choice(f'{where}.scope', scope, SCOPES)
        check_choice(f'{where}.pixel_selection', pixel_selection, SELECTIONS)
        check_choice(f'{where}.impl', impl, IMPLEMENTATIONS)
        if not isinstance(num_pixels, int) or (num_pixels != -1 and num_pixels < 1):
            raise ValueError(
                f'{where}.num_pixels: expected a positive integer, or -1 for all pixels, '
                f'got {num_pixels!r}'
            )
        check_range(f'{where}.warmup_iters', warmup_iters, low=0)
        check_range(f'{where}.queue_size', queue_size, low=0)
        check_range(f'{where}.queue_pixels_per_class', queue_pixels_per_class, low=1)
        if queue_size and embed_channels is None:
            raise ValueError(
                f'{where}.embed_channels: expected the channels of the embeddings because '
                f'queue_size is {queue_size}, got None'
            )
        if not loss_name.startswith('loss'):
            raise ValueError(
                f"{where}.loss_name: expected a name that starts with 'loss' (MMEngine sums only "
                f'such keys), got {loss_name!r}'
            )
        self.alpha = PixelAlpha(alpha, frequency_file, within_image=scope == 'image')
        self.temperature = temperature
        self.beta = beta
        self.gamma = gamma
        self.num_pixels = num_pixels
        self.scope = scope
        self.contrast_ignored = contrast_ignored
        self.pixel_selection = pixel_selection
        self.warmup_iters = warmup_iters
        self.queue = KeyQueue(queue_size, embed_channels or 0) if queue_size else None
        self.queue_pixels_per_class = queue_pixels_per_class
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.impl = impl
        self.chunk_size = chunk_size

    def forward(
        self,
        embeddings: Tensor,
        center_logits: Tensor,
        labels: Tensor,
        *,
        ignore_index: int = 255,
        project: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Loss of a batch of maps (or of any other arrangement of pixels in trailing dims).

        Args:
            embeddings: (B, D, ...) projected features, any length; normalised here.
            center_logits: (B, C, ...) logits of the head at the same places.
            labels: (B, ...) integer, in [0, C) or ``ignore_index``.
            ignore_index: label of pixels that are not anchors.
            project: last step of the projection, (B, N, K) -> (B, N, D), which is then taken of
                the selected pixels only; None = ``embeddings`` are projected.

        Returns:
            Scalar. 'image': mean over valid pixels of an image, then over images, images
            without a valid pixel counting as 0. 'batch', 'world': mean over the valid pixels of
            the joined batch (under 'world' the mean over ranks of what each rank returns).

        Raises:
            ShapeError: the maps do not fit each other.
            ValueError: a label is neither a class nor ``ignore_index``.
        """
        batch, _, *size = embeddings.shape
        check_shape('labels', labels, (batch, *size))
        check_shape('center_logits', center_logits, (batch, 'C', *size))
        rows, logits = embeddings.flatten(2), center_logits.flatten(2)  # (B, K, pixels)
        labels = labels.flatten(1).long()
        if ignore_index == EMPTY:  # as labels of keys the core would take them for empty slots
            ignore_index = logits.shape[1]
            labels = labels.masked_fill(labels == EMPTY, ignore_index)
        if self.num_pixels != -1 and self.num_pixels < rows.shape[2]:
            indices = self._select(logits.transpose(1, 2), labels)
            rows, logits = take_rows(rows, indices), take_rows(logits, indices)
            labels = labels.gather(1, indices)
        else:
            rows, logits = rows.transpose(1, 2), logits.transpose(1, 2)
        if project is not None:
            rows = project(rows)
        # Half precision would round the unit length to three digits.
        rows = F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=-1)
        loss = self._contrast(rows, labels, logits, ignore_index)
        if self.queue is not None:
            chosen = per_class_mask(labels, logits.shape[2], self.queue_pixels_per_class)
            self.queue.enqueue(rows[chosen], labels[chosen])
        return loss * (self.loss_weight * self._warmup_factor())

    def _select(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Indices (B, num_pixels) of the pixels that take part."""
        if self.pixel_selection == 'uniform':
            return uniform_indices(
                len(labels), labels.shape[1], self.num_pixels, device=labels.device
            )
        if self.pixel_selection == 'class_balanced':
            weights = class_balance_weights(labels, logits.shape[2])
        else:
            weights = hardness_weights(logits, labels)
        return weighted_indices(weights, self.num_pixels)

    def _contrast(self, rows: Tensor, labels: Tensor, logits: Tensor, ignore_index: int) -> Tensor:
        """Mean over what ``scope`` says; rows (B, N, D), labels (B, N), logits (B, N, C)."""
        if self.scope != 'image':
            rows, logits, labels = rows.flatten(0, 1), logits.flatten(0, 1), labels.flatten()
        keys, key_labels = self._keys(rows, labels)
        loss = parametric_contrastive_loss(
            rows,
            labels,
            logits,
            alpha=self.alpha.resolve(self._set_size(labels)),
            temperature=self.temperature,
            beta=self.beta,
            gamma=self.gamma,
            ignore_index=ignore_index,
            contrast_ignored=self.contrast_ignored,
            keys=keys,
            key_labels=key_labels,
            reduction='sum' if self.scope == 'world' else 'mean',
            impl=self.impl,
            chunk_size=self.chunk_size,
            unit_rows=True,
        )
        if self.scope != 'world':
            return loss
        valid = all_reduce_sum((labels != ignore_index).sum()).clamp(min=1)
        # DDP averages gradients over ranks: the factor turns that mean back into the sum.
        return loss * (world_size() / valid)

    def _keys(self, rows: Tensor, labels: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Contrast rows beyond the own set: pixels of other ranks, then the queue."""
        keys, key_labels = [], []
        if self.scope == 'world' and world_size() > 1:
            own = rank()
            keys = [part for index, part in enumerate(gather_rows(rows)) if index != own]
            key_labels = [part for index, part in enumerate(gather_rows(labels)) if index != own]
        if self.queue is not None:
            queued, queued_labels = self.queue.contents()
            keys.append(queued.to(rows.dtype))
            key_labels.append(queued_labels)
        if not keys:
            return None, None
        return torch.cat(keys), torch.cat(key_labels)

    def _set_size(self, labels: Tensor) -> int:
        """Pixels of one contrast set, those of the other ranks included."""
        return labels.shape[-1] * (world_size() if self.scope == 'world' else 1)

    def _warmup_factor(self) -> float:
        """Share of the loss weight at the current iteration of the runner, in (0, 1]."""
        if self.warmup_iters == 0:
            return 1.0
        # MMEngine's RuntimeInfoHook writes the iteration before every step, also after resume.
        iteration = MessageHub.get_current_instance().runtime_info.get('iter', 0)
        return min(1.0, (iteration + 1) / self.warmup_iters)
