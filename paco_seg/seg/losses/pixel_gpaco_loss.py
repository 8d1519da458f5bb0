"""GPaCo on drawn pixels: settings and one call of the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_bool, check_choice, check_count, check_range
from paco_seg.core.distributed import (
    all_reduce_sum,
    gather_rows,
    joined_rows,
    rank,
    row_counts,
    world_size,
)
from paco_seg.core.frequency import REMEDY
from paco_seg.core.gradient_balance import GradientBalance, MainTask
from paco_seg.core.grouping import Grouping, group_by_rule
from paco_seg.core.paco import ContrastBatch, PaCoSettings, paco_loss
from paco_seg.core.region_keys import region_keys
from paco_seg.engine.signatures import named_arguments
from paco_seg.seg.losses.loss_name import check_loss_name
from paco_seg.seg.losses.pixel_alpha import PixelAlpha

KEY = 'loss_contrast'
SCOPES = ('image', 'batch', 'world')
# Of loss_contrast, but not of this loss: GPaCoBranch takes them out, a misspelt one arrives here.
SAMPLER_SETTINGS = ('num_pixels', 'pixel_selection', 'importance_weights')
QUEUE_SETTINGS = ('queue_size', 'queue_pixels_per_class')


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
        region_keys: whether the mean embedding of each class of each image is a further contrast
            row of every pixel, see :func:`paco_seg.core.region_keys.region_keys`. With
            ``scope='world'`` those of all processes are.
        loss_weight: factor of the loss; or 'auto': what keeps its gradient at the features of the
            head at ``gradient_ratio`` times that of the head's own losses, see
            :class:`paco_seg.core.gradient_balance.GradientBalance`.
        gradient_ratio: of ``loss_weight='auto'``, > 0; None is 1 then.
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
    further_prior: Tensor | None  # what a factor other than 1 adds to the log prior

    def __init__(
        self,
        *,
        scope: str = 'image',
        warmup_iters: int = 0,
        frequency_file: str | None = None,
        class_prior: bool | float = False,
        region_keys: bool = False,
        loss_weight: float | str = 1.0,
        gradient_ratio: float | None = None,
        loss_name: str = 'loss_gpaco',
        **settings: Any,
    ) -> None:
        super().__init__()
        settings = dict(alpha=0.01, temperature=0.07) | settings
        check_choice(f'{KEY}.scope', scope, SCOPES)
        self.alpha = PixelAlpha(settings['alpha'], frequency_file, within_image=scope == 'image')
        further = (*named_arguments([PixelGPaCoLoss]), *SAMPLER_SETTINGS, *QUEUE_SETTINGS)
        self.settings = PaCoSettings.checked(KEY, further=further, **settings)
        self.gradient_balance = _gradient_balance(loss_weight, gradient_ratio)
        check_bool(f'{KEY}.region_keys', region_keys)
        check_count(f'{KEY}.warmup_iters', warmup_iters)
        check_loss_name(f'{KEY}.loss_name', loss_name)
        prior = further_prior = None
        if class_prior is not False:
            strength = 1.0 if class_prior is True else class_prior
            check_range(f'{KEY}.class_prior', strength, low=0.0, low_open=True)
            if self.alpha.frequency is None:
                raise ValueError(
                    f'{KEY}.frequency_file: expected a file because class_prior is set, got None. '
                    f'{REMEDY}'
                )
            prior = torch.from_numpy(self.alpha.frequency.prior(key=f'{KEY}.frequency_file'))
            # A power of a small share would vanish beside what the core adds to a prior.
            if strength != 1:
                further_prior = ((strength - 1.0) * prior.log()).float()
            prior = prior.float()
        # Not in checkpoints: they follow from the config.
        self.register_buffer('class_prior', prior, persistent=False)
        self.register_buffer('further_prior', further_prior, persistent=False)
        self.scope = scope
        self.region_keys = region_keys
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
        anchor_weights: Tensor | None = None,
        main: MainTask | None = None,
    ) -> Tensor:
        """Return the mean over what ``scope`` says.

        Args:
            embeddings: (B, N, D) unit rows, the drawn pixels of each image.
            labels: (B, N) int64, in [0, C) or ``ignore_index``.
            logits: (B, N, C) of the head at the same pixels.
            ignore_index: label of pixels that are not anchors; neither a class nor -1.
            keys: (M, D) further contrast rows of every pixel (the queue).
            key_labels: (M,) int64; -1 marks an empty slot.
            anchor_weights: (B, N) >= 0, how many pixels each drawn one stands for; None = all
                alike. The means below are weighted by them.
            main: the other losses of the head and the features, for ``loss_weight='auto'``.

        Returns:
            Scalar. 'image': mean over valid pixels of an image, then over images, images
            without a valid pixel counting as 0. 'batch', 'world': mean over the valid pixels of
            the joined batch (under 'world' the mean over ranks of what each rank returns).

        Raises:
            ShapeError: the rows do not fit each other.
            ValueError: a label is neither a class nor ``ignore_index``, or ``main`` is missing.
        """
        batch = self.contrast_batch(
            embeddings,
            labels,
            logits,
            ignore_index=ignore_index,
            keys=keys,
            key_labels=key_labels,
            anchor_weights=anchor_weights,
        )
        reduction = 'sum' if self.scope == 'world' else 'mean'
        loss = paco_loss(**batch._asdict(), reduction=reduction, unit_rows=True)
        if self.scope == 'world':
            valid = batch.labels != ignore_index
            counted = valid if batch.anchor_weights is None else valid * batch.anchor_weights
            # A weighted pixel stands for one at least.
            total = all_reduce_sum(counted.sum()).clamp(min=1)
            # DDP averages gradients over ranks: the factor turns that mean back into the sum.
            loss = loss * (world_size() / total)
        return loss * (self._weight(loss, main) * self._warmup_factor())

    def contrast_batch(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        ignore_index: int = 255,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
        anchor_weights: Tensor | None = None,
        main: MainTask | None = None,
    ) -> ContrastBatch:
        """Return what the core is called with; arguments as of :meth:`forward`, without ``main``.

        With ``scope='world'`` every process has to call it, as it exchanges their pixels.
        """
        further = [] if keys is None or key_labels is None else [(keys, key_labels)]
        num_queued = sum(len(queued) for queued, _ in further)
        if self.region_keys:
            further.append(self._region_keys(embeddings, labels, logits.shape[-1]))
        if self.scope != 'image':
            embeddings, logits = embeddings.flatten(0, 1), logits.flatten(0, 1)
            labels = labels.flatten()
            anchor_weights = None if anchor_weights is None else anchor_weights.flatten()
        if self.further_prior is not None:
            logits = logits + self.further_prior  # float32 at least
        keys, key_labels = self._all_keys(embeddings, labels, further)
        alpha = self.alpha.resolve(self._set_size(labels), num_queued)
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
            anchor_weights=anchor_weights,
        )

    def class_groups(self) -> Grouping | None:
        """Group the classes by ``frequency_file``; None without one."""
        frequency = self.alpha.frequency
        return None if frequency is None else group_by_rule(frequency, key=f'{KEY}.frequency_file')

    def _all_keys(
        self,
        embeddings: Tensor,
        labels: Tensor,
        further: Sequence[tuple[Tensor, Tensor]],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Join the pixels of other ranks and further keys."""
        parts, part_labels = [], []
        if self.scope == 'world' and world_size() > 1:
            own, counts = rank(), row_counts(labels)
            parts, part_labels = (
                [part for index, part in enumerate(gather_rows(rows, counts)) if index != own]
                for rows in (embeddings, labels)
            )
        for keys, key_labels in further:
            parts.append(keys.to(embeddings.dtype))
            part_labels.append(key_labels)
        if not parts:
            return None, None
        return torch.cat(parts), torch.cat(part_labels)

    def _region_keys(
        self, embeddings: Tensor, labels: Tensor, num_classes: int
    ) -> tuple[Tensor, Tensor]:
        """Return the regions of the batch, or of the batches of all processes."""
        keys, key_labels = region_keys(embeddings, labels, num_classes)
        if self.scope == 'world':
            keys, key_labels = joined_rows(keys, key_labels)
        return keys, key_labels

    def _weight(self, loss: Tensor, main: MainTask | None) -> Tensor | float:
        """Return the factor of the loss, without the warm-up."""
        if self.gradient_balance is None:
            return float(self.loss_weight)
        if main is None:
            raise ValueError(
                f'{KEY}.loss_weight: expected a number where the other losses of the head are not '
                "known, got 'auto'. Take 0.1 or 1"
            )
        return self.gradient_balance(loss, main, _iteration())

    def _set_size(self, labels: Tensor) -> int:
        """Count the pixels of one contrast set, those of the other ranks included."""
        return labels.shape[-1] * (world_size() if self.scope == 'world' else 1)

    def _warmup_factor(self) -> float:
        """Return the share of the loss weight at the current iteration of the runner, (0, 1]."""
        if self.warmup_iters == 0:
            return 1.0
        return min(1.0, (_iteration() + 1) / self.warmup_iters)


def _iteration() -> int:
    """Return the iteration of the runner; 0 without one."""
    # MMEngine's RuntimeInfoHook writes it before every step, also after resume.
    return int(MessageHub.get_current_instance().runtime_info.get('iter', 0))


def _gradient_balance(
    loss_weight: float | str, gradient_ratio: float | None
) -> GradientBalance | None:
    """Build what finds the weight of the loss; None where it is a number."""
    if loss_weight == 'auto':
        return GradientBalance(1.0 if gradient_ratio is None else gradient_ratio, key=KEY)
    if isinstance(loss_weight, str):
        raise ValueError(
            f"{KEY}.loss_weight: expected a number >= 0 or 'auto', got {loss_weight!r}"
        )
    check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
    if gradient_ratio is not None:
        raise ValueError(
            f"{KEY}.gradient_ratio: expected None because loss_weight is not 'auto', got "
            f"{gradient_ratio!r}. Set loss_weight='auto' or leave it out"
        )
    return None
