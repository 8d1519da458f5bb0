"""GPaCo on drawn pixels: settings and one call of the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_choice, check_count, check_range
from paco_seg.core.diagnostics import ContrastBatch
from paco_seg.core.distributed import all_reduce_sum, gather_rows, rank, row_counts, world_size
from paco_seg.core.frequency import REMEDY
from paco_seg.core.grouping import Grouping, group_by_rule
from paco_seg.core.paco import PaCoSettings, paco_loss
from paco_seg.seg.losses.loss_name import check_loss_name
from paco_seg.seg.losses.pixel_alpha import PixelAlpha

KEY = 'loss_contrast'
SCOPES = ('image', 'batch', 'world')


@MODELS.register_module()
class PixelGPaCoLoss(nn.Module):
    """Pixel-level GPaCo loss (arXiv 2209.12400, semantic segmentation).

    The defaults are the paper's. ``loss_contrast`` of a head takes the settings of the sampler and
    of the queue too, see :class:`paco_seg.seg.heads.GPaCoBranch`, which draws and projects.

    Args:
        scope: which pixels see each other: those of one 'image' (the paper), of the 'batch' of
            this process, or of the batches of all processes ('world', with gradient).
        warmup_iters: the loss weight grows linearly from 0 over these iterations; for training
            from scratch.
        frequency_file: JSON of class frequencies; reports alpha |P| by class group, and feeds
            ``alpha='auto'`` and ``class_prior``.
        class_prior: factor of the log of the pixel prior of ``frequency_file`` that is added to
            the center logits, > 0; True is 1, False leaves it out. For heads whose other losses
            see their logits with the prior too, such as ``LogitAdjustedCrossEntropyLoss`` with its
            ``tau``: without it the two pull against each other.
        loss_weight: factor of the loss.
        loss_name: key of the loss in the log; has to start with ``loss`` to be summed.
        **settings: fields of :class:`paco_seg.core.paco.PaCoSettings`. ``alpha`` is 0.01 and
            ``temperature`` 0.07 by default. The paper uses an alpha of .01 to .03 with 8192
            pixels; what acts is alpha times the positives of a pixel. ``alpha='auto'`` derives it
            from ``frequency_file`` (see :class:`PixelAlpha`). ``contrast_ignored=True`` keeps
            ignored pixels in the contrast as negatives, as the released code does.

    Raises:
        TypeError: a setting is unknown or of another type.
        ValueError: a setting is out of range; the message starts with ``loss_contrast.<key>``.
    """

    class_prior: Tensor | None

    def __init__(
        self,
        *,
        scope: str = 'image',
        warmup_iters: int = 0,
        frequency_file: str | None = None,
        class_prior: bool | float = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_gpaco',
        **settings: Any,
    ) -> None:
        super().__init__()
        settings = dict(alpha=0.01, temperature=0.07) | settings
        check_choice(f'{KEY}.scope', scope, SCOPES)
        self.alpha = PixelAlpha(settings['alpha'], frequency_file, within_image=scope == 'image')
        self.settings = PaCoSettings.checked(KEY, **settings)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_count(f'{KEY}.warmup_iters', warmup_iters)
        check_loss_name(f'{KEY}.loss_name', loss_name)
        prior = None
        if class_prior is not False:
            strength = 1.0 if class_prior is True else class_prior
            check_range(f'{KEY}.class_prior', strength, low=0.0, low_open=True)
            if self.alpha.frequency is None:
                raise ValueError(
                    f'{KEY}.frequency_file: expected a file because class_prior is set, got None. '
                    f'{REMEDY}'
                )
            prior = torch.from_numpy(self.alpha.frequency.prior(f'{KEY}.frequency_file'))
            prior = prior.pow(strength).float()
        # Not in checkpoints: it follows from the config.
        self.register_buffer('class_prior', prior, persistent=False)
        self.scope = scope
        self.warmup_iters = warmup_iters
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse a frequency file about other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        self.alpha.check_class_names(classes)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        ignore_index: int = 255,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over what ``scope`` says.

        Args:
            embeddings: (B, N, D) unit rows, the drawn pixels of each image.
            labels: (B, N) int64, in [0, C) or ``ignore_index``.
            logits: (B, N, C) of the head at the same pixels.
            ignore_index: label of pixels that are not anchors; neither a class nor -1.
            keys: (M, D) further contrast rows of every pixel (the queue).
            key_labels: (M,) int64; -1 marks an empty slot.

        Returns:
            Scalar. 'image': mean over valid pixels of an image, then over images, images
            without a valid pixel counting as 0. 'batch', 'world': mean over the valid pixels of
            the joined batch (under 'world' the mean over ranks of what each rank returns).

        Raises:
            ShapeError: the rows do not fit each other.
            ValueError: a label is neither a class nor ``ignore_index``.
        """
        batch = self.contrast_batch(
            embeddings,
            labels,
            logits,
            ignore_index=ignore_index,
            keys=keys,
            key_labels=key_labels,
        )
        reduction = 'sum' if self.scope == 'world' else 'mean'
        loss = paco_loss(**batch._asdict(), reduction=reduction, unit_rows=True)
        if self.scope == 'world':
            valid = all_reduce_sum((batch.labels != ignore_index).sum()).clamp(min=1)
            # DDP averages gradients over ranks: the factor turns that mean back into the sum.
            loss = loss * (world_size() / valid)
        return loss * (self.loss_weight * self._warmup_factor())

    def contrast_batch(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        ignore_index: int = 255,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> ContrastBatch:
        """Return what the core is called with; arguments as of :meth:`forward`.

        With ``scope='world'`` every process has to call it, as it exchanges their pixels.
        """
        if self.scope != 'image':
            embeddings, logits = embeddings.flatten(0, 1), logits.flatten(0, 1)
            labels = labels.flatten()
        keys, key_labels = self._all_keys(embeddings, labels, keys, key_labels)
        alpha = self.alpha.resolve(self._set_size(labels))
        settings = self.settings
        return ContrastBatch(
            embeddings,
            labels,
            logits,
            settings if alpha == settings.alpha else replace(settings, alpha=alpha),
            class_prior=self.class_prior,
            ignore_index=ignore_index,
            keys=keys,
            key_labels=key_labels,
        )

    def class_groups(self) -> Grouping | None:
        """Group the classes by ``frequency_file``; None without one."""
        frequency = self.alpha.frequency
        return None if frequency is None else group_by_rule(frequency, key=f'{KEY}.frequency_file')

    def _all_keys(
        self,
        embeddings: Tensor,
        labels: Tensor,
        keys: Tensor | None,
        key_labels: Tensor | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Join the pixels of other ranks and the given keys."""
        parts, part_labels = [], []
        if self.scope == 'world' and world_size() > 1:
            own, counts = rank(), row_counts(labels)
            parts, part_labels = (
                [part for index, part in enumerate(gather_rows(rows, counts)) if index != own]
                for rows in (embeddings, labels)
            )
        if keys is not None and key_labels is not None:
            parts.append(keys.to(embeddings.dtype))
            part_labels.append(key_labels)
        if not parts:
            return None, None
        return torch.cat(parts), torch.cat(part_labels)

    def _set_size(self, labels: Tensor) -> int:
        """Count the pixels of one contrast set, those of the other ranks included."""
        return labels.shape[-1] * (world_size() if self.scope == 'world' else 1)

    def _warmup_factor(self) -> float:
        """Return the share of the loss weight at the current iteration of the runner, (0, 1]."""
        if self.warmup_iters == 0:
            return 1.0
        # MMEngine's RuntimeInfoHook writes the iteration before every step, also after resume.
        iteration = MessageHub.get_current_instance().runtime_info.get('iter', 0)
        return min(1.0, (iteration + 1) / self.warmup_iters)
