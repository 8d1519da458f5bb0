"""GPaCo on the pixels of feature maps: selection, normalisation, one call of the core."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core import parametric_contrastive_loss
from paco_seg.core.checks import check_choice, check_range, check_shape
from paco_seg.core.distributed import all_reduce_sum, gather_rows, rank, world_size
from paco_seg.core.sampling import gather_rows as gather_pixels
from paco_seg.core.sampling import uniform_indices

SCOPES = ('image', 'batch', 'world')


@MODELS.register_module()
class PixelGPaCoLoss(nn.Module):
    """Pixel-level GPaCo loss (arXiv 2209.12400, semantic segmentation).

    Args:
        alpha: weight of a pixel positive relative to the class center, > 0. The paper uses .01
            to .03 with 8192 pixels; what acts is alpha times the positives of a pixel.
        temperature: T > 0 of the similarities between pixels.
        beta: weight of the center positive, > 0.
        gamma: weight of the pixel part of the denominator, >= 0.
        num_pixels: pixels drawn per image, uniformly without replacement; -1 = all.
        scope: which pixels see each other: those of one 'image' (the paper), of the 'batch' of
            this process, or of the batches of all processes ('world', with gradient).
        contrast_ignored: whether ignored pixels stay in the contrast set as negatives, as in
            the released code.
        loss_weight: factor of the loss.
        loss_name: key of the loss in the log; has to start with ``loss`` to be summed.
        impl: implementation of the core, 'auto', 'dense' or 'streaming'.
        chunk_size: tile side of the streaming implementation; None = from a memory budget.

    Raises:
        ValueError: a setting is out of range; the message starts with ``loss_contrast.<key>``.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        temperature: float = 0.07,
        beta: float = 1.0,
        gamma: float = 1.0,
        num_pixels: int = 8192,
        scope: str = 'image',
        contrast_ignored: bool = True,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_gpaco',
        impl: str = 'auto',
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        where = 'loss_contrast'
        check_range(f'{where}.alpha', alpha, low=0.0, low_open=True, remedy='The paper uses 0.01')
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
        check_choice(f'{where}.impl', impl, ('auto', 'dense', 'streaming'))
        if not isinstance(num_pixels, int) or (num_pixels != -1 and num_pixels < 1):
            raise ValueError(
                f'{where}.num_pixels: expected a positive integer, or -1 for all pixels, '
                f'got {num_pixels!r}'
            )
        if not loss_name.startswith('loss'):
            raise ValueError(
                f"{where}.loss_name: expected a name that starts with 'loss' (MMEngine sums only "
                f'such keys), got {loss_name!r}'
            )
        self.alpha = alpha
        self.temperature = temperature
        self.beta = beta
        self.gamma = gamma
        self.num_pixels = num_pixels
        self.scope = scope
        self.contrast_ignored = contrast_ignored
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.impl = impl
        self.chunk_size = chunk_size

    def forward(
        self, embeddings: Tensor, center_logits: Tensor, labels: Tensor, *, ignore_index: int = 255
    ) -> Tensor:
        """Loss of a batch of maps (or of any other arrangement of pixels in trailing dims).

        Args:
            embeddings: (B, D, ...) projected features, any length; normalised here.
            center_logits: (B, C, ...) logits of the head at the same places.
            labels: (B, ...) integer, in [0, C) or ``ignore_index``.
            ignore_index: label of pixels that are not anchors.

        Returns:
            Scalar. 'image': mean over valid pixels of an image, then over images, images
            without a valid pixel counting as 0. 'batch', 'world': mean over the valid pixels of
            the joined batch (under 'world' the mean over ranks of what each rank returns).
        """
        batch, _, *size = embeddings.shape
        check_shape('labels', labels, (batch, *size))
        check_shape('center_logits', center_logits, (batch, 'C', *size))
        # (B, K, ...) -> (B, pixels, K)
        rows = embeddings.flatten(2).transpose(1, 2)
        logits = center_logits.flatten(2).transpose(1, 2)
        labels = labels.flatten(1)
        if self.num_pixels != -1 and self.num_pixels < rows.shape[1]:
            indices = uniform_indices(batch, rows.shape[1], self.num_pixels, device=rows.device)
            rows, logits = gather_pixels(rows, indices), gather_pixels(logits, indices)
            labels = labels.gather(1, indices)
        # Half precision would round the unit length to three digits.
        rows = F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=-1)
        if self.scope != 'image':
            rows, logits, labels = rows.flatten(0, 1), logits.flatten(0, 1), labels.flatten()
        contrast = self._contrast_world if self.scope == 'world' else self._contrast
        return self.loss_weight * contrast(rows, labels, logits, ignore_index)

    def _contrast(
        self,
        rows: Tensor,
        labels: Tensor,
        logits: Tensor,
        ignore_index: int,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
        reduction: str = 'mean',
    ) -> Tensor:
        return parametric_contrastive_loss(
            rows,
            labels,
            logits,
            alpha=self.alpha,
            temperature=self.temperature,
            beta=self.beta,
            gamma=self.gamma,
            ignore_index=ignore_index,
            contrast_ignored=self.contrast_ignored,
            keys=keys,
            key_labels=key_labels,
            reduction=reduction,
            impl=self.impl,
            chunk_size=self.chunk_size,
        )

    def _contrast_world(
        self, rows: Tensor, labels: Tensor, logits: Tensor, ignore_index: int
    ) -> Tensor:
        """Pixels of the other ranks are keys that take gradient; the mean is over all ranks."""
        others, other_labels = gather_rows(rows), gather_rows(labels)
        own = rank()
        keys = torch.cat([part for index, part in enumerate(others) if index != own] or [rows[:0]])
        key_labels = torch.cat(
            [part for index, part in enumerate(other_labels) if index != own] or [labels[:0]]
        )
        total = self._contrast(rows, labels, logits, ignore_index, keys, key_labels, 'sum')
        valid = all_reduce_sum((labels != ignore_index).sum()).clamp(min=1)
        # DDP averages gradients over ranks: the factor turns that mean back into the sum.
        return total * (world_size() / valid)
