"""PaCo and GPaCo: the public call, its settings with their checks, and the equation."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paco_seg.core import fused
from paco_seg.core.centers import adjust_center_logits, center_target_sum
from paco_seg.core.checks import (
    ShapeError,
    check_bool,
    check_choice,
    check_integer,
    check_labels,
    check_prior,
    check_range,
    check_shape,
    compute_dtype,
)
from paco_seg.core.contrast import EMPTY, IMPLEMENTATIONS, ContrastRows, contrast_sums
from paco_seg.core.reduction import REDUCTIONS, reduce_anchors


@dataclass(frozen=True)
class PaCoSettings:
    """Settings of the loss; meaning and equation at :func:`parametric_contrastive_loss`.

    Args:
        alpha: weight of one sample positive relative to the center, >= 0.
        temperature: of the similarities between embeddings, > 0.
        beta: weight of the center positive, >= 0.
        gamma: weight of the sample part of the denominator, >= 0.
        center_temperature: of the center logits including the prior, > 0.
        base_temperature: > 0; None = ``temperature``.
        label_smoothing: in [0, 1), of the center target.
        contrast_ignored: whether ignored rows stay in the contrast as negatives.
        impl: one of :data:`paco_seg.core.contrast.IMPLEMENTATIONS`.
        chunk_size: rows and columns of a streaming tile; None = from a memory budget.
        key: config key that holds these settings, with which every message begins. Settings with a
            key train a model: ``alpha`` and ``beta`` are > 0 then, since an optimum needs both, and
            ``alpha`` may be 'auto' until somebody replaces it by a number. Without a key 0 is
            allowed: it gives the losses that PaCo contains as limits.

    Raises:
        TypeError: a setting is of another type.
        ValueError: a setting is out of range.
    """

    alpha: float | str
    temperature: float
    beta: float = 1.0
    gamma: float = 1.0
    center_temperature: float = 1.0
    base_temperature: float | None = None
    label_smoothing: float = 0.0
    contrast_ignored: bool = True
    impl: str = 'auto'
    chunk_size: int | None = None
    key: str = ''

    def __post_init__(self) -> None:
        """Check every setting, also after ``dataclasses.replace``."""
        positive = bool(self.key)
        if positive:
            check_alpha(self.name('alpha'), self.alpha)
        else:
            check_range('alpha', self.alpha, low=0.0)
        check_range(self.name('beta'), self.beta, low=0.0, low_open=positive)
        check_range(self.name('gamma'), self.gamma, low=0.0)
        for name in ('temperature', 'center_temperature', 'base_temperature'):
            value = getattr(self, name)
            if name != 'base_temperature' or value is not None:
                check_range(self.name(name), value, low=0.0, low_open=True)
        check_range(self.name('label_smoothing'), self.label_smoothing, low=0.0, high=1.0)
        if self.label_smoothing == 1.0:
            raise ValueError(
                f'{self.name("label_smoothing")}: expected a value in [0, 1), got 1.0. Nothing '
                'would be left to the class itself: 0.1 is usual'
            )
        if self.alpha == 0 and self.beta == 0:
            raise ValueError('alpha, beta: expected at least one > 0, got 0 and 0')
        check_bool(self.name('contrast_ignored'), self.contrast_ignored)
        check_choice(self.name('impl'), self.impl, IMPLEMENTATIONS)
        size = self.chunk_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ValueError(
                f'{self.name("chunk_size")}: expected a positive integer or None, got {size!r}'
            )

    @classmethod
    def checked(
        cls,
        key: str,
        *,
        without: Collection[str] = (),
        further: Collection[str] = (),
        **settings: Any,
    ) -> PaCoSettings:
        """Check the settings that a config gives under ``key``.

        Args:
            key: config key, such as ``'loss_contrast'``; messages begin with ``<key>.<setting>``.
            without: settings that have no effect where they would be used, and are refused.
            further: what else the config may say there, for the message.
            **settings: fields of this class.

        Raises:
            TypeError: a setting is unknown or of another type.
            ValueError: a setting is out of range.
        """
        known = [
            field.name for field in fields(cls) if field.name != 'key' and field.name not in without
        ]
        for name in settings:
            if name not in known:
                named = ', '.join([*known, *further])
                raise TypeError(f'{key}.{name}: expected one of {named}, got {name!r}')
        return cls(key=key, **settings)

    def name(self, setting: str) -> str:
        """Name a setting as the user knows it."""
        return f'{self.key}.{setting}' if self.key else setting


class ContrastBatch(NamedTuple):
    """What a loss hands to :func:`paco_loss`.

    Args:
        embeddings: (N, D) or (G, N, D) unit rows.
        labels: (N,) or (G, N) integer.
        center_logits: (N, C) or (G, N, C).
        settings: with a number for alpha.
        class_prior: (C,), or None.
        ignore_index: label of rows that are not anchors; None = there are none.
        keys: (M, D), or None.
        key_labels: (M,), or None.
        anchor_weights: (N,) or (G, N), or None.
    """

    embeddings: Tensor
    labels: Tensor
    center_logits: Tensor
    settings: PaCoSettings
    class_prior: Tensor | None = None
    ignore_index: int | None = None
    keys: Tensor | None = None
    key_labels: Tensor | None = None
    anchor_weights: Tensor | None = None


def check_alpha(name: str, alpha: object, remedy: str = "Try 'auto'") -> None:
    """Refuse an alpha that cannot train: neither a number > 0 nor 'auto'.

    Raises:
        TypeError: ``alpha`` is neither a number nor 'auto'.
        ValueError: ``alpha`` is out of range.
    """
    if isinstance(alpha, str):
        if alpha != 'auto':
            raise ValueError(f"{name}: expected a number > 0 or 'auto', got {alpha!r}")
    else:
        check_range(name, alpha, low=0.0, low_open=True, remedy=remedy)


def parametric_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    *,
    alpha: float,
    temperature: float,
    beta: float = 1.0,
    gamma: float = 1.0,
    center_temperature: float = 1.0,
    base_temperature: float | None = None,
    class_prior: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    contrast_ignored: bool = True,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    reduction: str = 'mean',
    impl: str = 'auto',
    chunk_size: int | None = None,
    unit_rows: bool = False,
) -> Tensor:
    """Return the parametric contrastive loss: PaCo (arXiv 2107.12028, eq. 4), GPaCo (2209.12400).

    With ``s_ij = z_i . z_j / T`` over the contrast set S(i) (every row of the set but i, and
    every key), the positives P(i) (rows of S(i) with the label of i) and the adjusted center
    logits ``l_ic = (center_logits_ic + log(prior_c + 1e-9)) / center_temperature``::

        Den_i = sum_c exp(l_ic) + gamma * sum_{j in S(i)} exp(s_ij)
        L_i   = -(T / T_base) * (beta * sum_c t_ic (l_ic - log Den_i)
                                 + alpha * sum_{j in P(i)} (s_ij - log Den_i))
                / (beta + alpha * |P(i)|)

    where t is one-hot, or smoothed to ``1 - eps`` and ``eps / (C - 1)``. GPaCo passes both views
    as ``embeddings`` and the queue as ``keys``; PaCo passes view 1 as ``embeddings`` and view 2
    and the queue as ``keys``; segmentation passes the sampled pixels of each image as one set.

    Args:
        embeddings: (N, D) or (G, N, D), rows of unit length; all are anchors and contrast rows
            of their set. G sets do not see each other. Other lengths are handled exactly, at
            a few times the cost where their norms let exp() leave the range of the dtype.
        labels: (N,) or (G, N) integer, in [0, C) or ``ignore_index``.
        center_logits: (N, C) or (G, N, C), the logits of the classifier.
        alpha: weight of one sample positive relative to the center, >= 0.
        temperature: T > 0, divides the similarities of embeddings only.
        beta: weight of the center positive, >= 0.
        gamma: weight of the sample part of the denominator, >= 0.
        center_temperature: divides the center logits including the prior, > 0.
        base_temperature: T_base > 0; None = ``temperature`` (factor 1).
        class_prior: (C,) positive class frequencies or probabilities as they are to enter the
            logarithm (training only: never add them at inference); None = no prior.
        label_smoothing: eps in [0, 1) of the center target; needs C > 1.
        ignore_index: label of rows that are not anchors; None = there are none. Together with
            keys not -1, which means an empty slot there.
        contrast_ignored: whether ignored rows stay in S(i) as negatives (the released GPaCo
            segmentation) or are dropped.
        keys: (M, D) further contrast rows of every set (queue, other ranks). Gradient flows to
            keys that require it.
        key_labels: (M,) integer; -1 marks an empty slot that is never contrasted.
        reduction: 'none' -> per anchor, 0 for ignored ones; 'mean' -> mean over the valid
            anchors of each set, then over sets; 'sum'.
        impl: 'dense' forms the N x (N + M) matrix, 'streaming' computes the same numbers in
            tiles, 'triton' in fused GPU kernels (:mod:`paco_seg.core.fused` says in which
            precision and raises where it cannot run). 'auto' takes 'triton' on a GPU of compute
            capability 8.0 or newer that can run it, else dense where the matrix is small, else
            streaming.
        chunk_size: rows and columns of a streaming tile; None = from a memory budget.
        unit_rows: whether the caller knows that no row or key is longer than 1, because it
            normalised them: spares 'streaming' a look at the norms, for which the host would have
            to wait on a device. Of longer rows the result would then be wrong.

    Returns:
        A scalar, or (N,) / (G, N) for ``reduction='none'``; float32, float64 for float64 input.
        Without a valid anchor a zero that is attached to the graph.

    Raises:
        ShapeError: a tensor has another rank or size (names it).
        TypeError: labels are not integers, or a setting is of another type.
        ValueError: a setting or a label is out of range (names it, the value and the range).

    Example:
        >>> embeddings = torch.eye(4)[[0, 0, 1]]  # two samples of class 0, one of class 1
        >>> labels, logits = torch.tensor([0, 0, 1]), torch.zeros(3, 2)
        >>> parametric_contrastive_loss(
        ...     embeddings, labels, logits, alpha=0.1, temperature=0.5, reduction='none')
        tensor([2.1589, 2.1589, 1.3863])
    """
    settings = PaCoSettings(
        alpha=alpha,
        temperature=temperature,
        beta=beta,
        gamma=gamma,
        center_temperature=center_temperature,
        base_temperature=base_temperature,
        label_smoothing=label_smoothing,
        contrast_ignored=contrast_ignored,
        impl=impl,
        chunk_size=chunk_size,
    )
    return paco_loss(
        embeddings,
        labels,
        center_logits,
        settings,
        class_prior=class_prior,
        ignore_index=ignore_index,
        keys=keys,
        key_labels=key_labels,
        reduction=reduction,
        unit_rows=unit_rows,
    )


def paco_loss(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    settings: PaCoSettings,
    *,
    class_prior: Tensor | None = None,
    ignore_index: int | None = None,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    anchor_weights: Tensor | None = None,
    reduction: str = 'mean',
    unit_rows: bool = False,
) -> Tensor:
    """Return the loss of :func:`parametric_contrastive_loss` for settings that travel as one.

    Args:
        embeddings: (N, D) or (G, N, D).
        labels: (N,) or (G, N) integer.
        center_logits: (N, C) or (G, N, C).
        settings: with a number for alpha.
        class_prior: (C,), or None.
        ignore_index: label of rows that are not anchors; None = there are none.
        keys: (M, D), or None.
        key_labels: (M,), or None.
        anchor_weights: (N,) or (G, N) >= 0, of the anchors in sums and means, see
            :func:`paco_seg.core.reduction.reduce_anchors`; None = all alike. Whom an anchor is
            contrasted with does not depend on them.
        reduction: 'none', 'mean' or 'sum'.
        unit_rows: whether the caller knows that no row or key is longer than 1.

    Returns:
        A scalar, or (N,) / (G, N) for ``reduction='none'``.

    Raises:
        ShapeError: a tensor has another rank or size (names it).
        TypeError: labels are not integers, or alpha is still 'auto'.
        ValueError: a label is out of range (names it, the value and the range).
    """
    check_choice('reduction', reduction, REDUCTIONS)
    if embeddings.dim() not in (2, 3):
        raise ShapeError(
            'embeddings: expected shape (N, D) or (G, N, D), '
            f'got {tuple(embeddings.shape)}. Flatten pixels to rows first'
        )
    if anchor_weights is not None:
        check_shape('anchor_weights', anchor_weights, labels.shape)
    batched = embeddings.dim() == 3
    if not batched:
        embeddings, labels, center_logits = (
            tensor.unsqueeze(0) for tensor in (embeddings, labels, center_logits)
        )
    keys, key_labels = _default_keys(embeddings, keys, key_labels)
    _check_tensors(
        embeddings,
        labels,
        center_logits,
        keys,
        key_labels,
        class_prior,
        settings,
        ignore_index,
        batched,
    )

    dtype = compute_dtype(embeddings, center_logits, keys)
    # Half rows stay as they are where their products accumulate in float32 anyway.
    half_or_wide = dtype if dtype == torch.float64 else fused.product_dtype(embeddings, keys)
    impl = _choose(settings, embeddings, half_or_wide)
    row_dtype = half_or_wide if impl == 'triton' else dtype
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        rows, valid = _contrast_rows(
            embeddings.to(row_dtype),
            labels.long(),
            keys.to(row_dtype),
            key_labels.long(),
            center_logits.shape[-1],
            ignore_index,
            settings.contrast_ignored,
        )
        center_logits = center_logits.to(dtype)
        if ignore_index is not None:
            # A zero weight would not remove NaN or inf: 0 * NaN = NaN, in backward for all weights.
            center_logits = center_logits.masked_fill(~valid.unsqueeze(-1), 0.0)
        logits = adjust_center_logits(center_logits, class_prior, settings.center_temperature)
        rows = rows._replace(unit_rows=unit_rows)
        values = _per_anchor(rows, valid, logits, settings, impl)
        weights = anchor_weights
        if weights is not None and not batched:
            weights = weights.unsqueeze(0)
        loss = reduce_anchors(values, valid, reduction, weights)
    return loss if batched or reduction != 'none' else loss.squeeze(0)


def _per_anchor(
    rows: ContrastRows, valid: Tensor, logits: Tensor, settings: PaCoSettings, impl: str
) -> Tensor:
    """Return the loss of each anchor, (G, N), from the adjusted center logits (G, N, C).

    The equation. Rows that are not ``valid``, (G, N) bool, give 0.
    """
    alpha, beta, gamma = _number(settings), settings.beta, settings.gamma
    if impl == 'triton':  # all of what follows, in kernels
        values = fused.per_anchor(rows, logits, settings)
        return torch.where(valid, values, torch.zeros_like(values))
    sums = contrast_sums(
        rows,
        settings.temperature,
        impl=impl,
        chunk_size=settings.chunk_size,
        need_lse=gamma > 0,
    )
    log_denominator = logits.logsumexp(dim=-1)
    if gamma > 0:
        # Not logaddexp, whose second derivative is inf / inf where one of the two is negligible.
        terms = [log_denominator, sums.log_sum_exp + math.log(gamma)]
        log_denominator = torch.stack(terms).logsumexp(dim=0)
    targets = rows.class_index.masked_fill(~valid, 0)
    center_part = center_target_sum(logits, targets, settings.label_smoothing) - log_denominator
    contrast_part = sums.positive_sum - sums.positive_count * log_denominator
    weight = beta + alpha * sums.positive_count
    # beta = 0 leaves an anchor without sample positives nothing to learn from: 0, not 0 / 0.
    counted = valid & (weight > 0)
    numerator = beta * center_part + alpha * contrast_part
    values = numerator / torch.where(counted, weight, torch.ones_like(weight))
    base = settings.base_temperature
    values = values * (-settings.temperature / (settings.temperature if base is None else base))
    return torch.where(counted, values, torch.zeros_like(values))


def _choose(settings: PaCoSettings, embeddings: Tensor, row_dtype: torch.dtype) -> str:
    """Take the kernels where they are asked for or can run on a GPU; else leave ``impl``.

    Raises:
        RuntimeError: 'triton' is asked for and cannot run here; says why.
    """
    if settings.impl == 'auto' and embeddings.device.type == 'cuda':
        return 'auto' if fused.reason_against(embeddings, row_dtype) else 'triton'
    if settings.impl == 'triton':
        reason = fused.reason_against(embeddings, row_dtype)
        if reason is not None:
            raise RuntimeError(
                f"{settings.name('impl')}: expected {reason}. Set impl='auto', which takes "
                'another implementation then'
            )
    return settings.impl


def _contrast_rows(
    embeddings: Tensor,
    labels: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    num_classes: int,
    ignore_index: int | None,
    contrast_ignored: bool,
) -> tuple[ContrastRows, Tensor]:
    """Sort out who is contrasted with whom, and which rows are anchors, (G, N) bool."""
    valid = torch.ones_like(labels, dtype=torch.bool)
    contrasted = None
    key_contrasted = key_labels != EMPTY
    # Ignored rows get the class index C: no anchor has it, so they are nobody's positives.
    class_index = labels
    key_index = key_labels.masked_fill(~key_contrasted, num_classes)
    if ignore_index is not None:
        valid = labels != ignore_index
        class_index = class_index.masked_fill(~valid, num_classes)
        key_index = key_index.masked_fill(key_labels == ignore_index, num_classes)
        if not contrast_ignored:
            contrasted = valid
            key_contrasted = key_contrasted & (key_labels != ignore_index)
            # Dropped rows may hold anything, even NaN, which a zero weight would not remove.
            embeddings = embeddings.masked_fill(~valid.unsqueeze(-1), 0.0)
    if len(keys):
        keys = keys.masked_fill(~key_contrasted.unsqueeze(-1), 0.0)
    rows = ContrastRows(
        embeddings, class_index, contrasted, keys, key_index, key_contrasted, num_classes
    )
    return rows, valid


def _number(settings: PaCoSettings) -> float:
    """Return alpha, which somebody has to have decided by now."""
    if isinstance(settings.alpha, str):
        raise TypeError(
            f'{settings.name("alpha")}: expected a number before the first step, '
            f'got {settings.alpha!r}'
        )
    return settings.alpha


def _default_keys(
    embeddings: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    if (keys is None) != (key_labels is None):
        given, missing = ('keys', 'key_labels') if key_labels is None else ('key_labels', 'keys')
        raise ValueError(f'{missing}: expected a tensor because {given} is given, got None')
    if keys is None or key_labels is None:
        no_labels = torch.empty(0, dtype=torch.long, device=embeddings.device)
        return embeddings.new_empty(0, embeddings.shape[-1]), no_labels
    return keys, key_labels


def _check_tensors(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    class_prior: Tensor | None,
    settings: PaCoSettings,
    ignore_index: int | None,
    batched: bool,
) -> None:
    sets, anchors, channels = embeddings.shape
    lead: tuple[int, ...] = (sets, anchors)
    if not batched:  # report the shapes that the caller passed
        lead = (anchors,)
        labels, center_logits = labels.squeeze(0), center_logits.squeeze(0)
    check_shape('labels', labels, lead)
    check_shape('center_logits', center_logits, (*lead, 'C'))
    check_shape('keys', keys, ('M', channels))
    check_shape('key_labels', key_labels, (len(keys),))
    check_integer('labels', labels)
    check_integer('key_labels', key_labels)
    num_classes = center_logits.shape[-1]
    if num_classes < 1:
        raise ShapeError('center_logits: expected at least one class, got C = 0')
    if settings.label_smoothing > 0 and num_classes < 2:
        raise ValueError(
            f'{settings.name("label_smoothing")}: expected 0 with a single class, '
            f'got {settings.label_smoothing!r}'
        )
    ignored = () if ignore_index is None else (ignore_index,)
    if ignore_index is not None and 0 <= ignore_index < num_classes:
        raise ValueError(
            f'ignore_index: expected a value outside [0, {num_classes}), got {ignore_index}'
        )
    if ignore_index == EMPTY and len(keys):
        raise ValueError(
            f'ignore_index: expected another value than {EMPTY} because keys are given, whose '
            f'label {EMPTY} marks an empty slot, got {EMPTY}. Relabel ignored rows, e.g. as 255'
        )
    check_labels('labels', labels, num_classes, allowed=ignored)
    check_labels('key_labels', key_labels, num_classes, allowed=(EMPTY, *ignored))
    if class_prior is not None:
        check_prior('class_prior', class_prior, num_classes)
