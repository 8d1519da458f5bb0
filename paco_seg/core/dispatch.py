"""The one public call: checks, choice of the implementation, the equation, the reduction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paco_seg.core.centers import adjust_center_logits, center_target_sum
from paco_seg.core.checks import (
    ShapeError,
    check_choice,
    check_integer,
    check_labels,
    check_prior,
    check_range,
    check_shape,
    compute_dtype,
)
from paco_seg.core.dense import dense_contrast_sums
from paco_seg.core.reduction import REDUCTIONS, reduce_anchors
from paco_seg.core.streaming import class_positive_sums, streaming_contrast_sums

IMPLEMENTATIONS = ('auto', 'dense', 'streaming')
# Key label of a queue slot that has not been written yet.
EMPTY = -1
# Similarities of all sets up to which 'auto' takes the dense form (measured: section "Dispatch"
# of benchmarks/README.md).
_DENSE_SIMILARITIES = 2**17


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
) -> Tensor:
    """Parametric contrastive loss: PaCo (arXiv 2107.12028, eq. 4) and GPaCo (arXiv 2209.12400).

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
            tiles, 'auto' takes dense only where the matrix is small.
        chunk_size: rows and columns of a streaming tile; None = from a memory budget.

    Returns:
        A scalar, or (N,) / (G, N) for ``reduction='none'``; float32, float64 for float64 input.
        Without a valid anchor a zero that is attached to the graph.

    Raises:
        ShapeError: a tensor has another rank or size (names it).
        TypeError: labels are not integers.
        ValueError: a setting or a label is out of range (names it, the value and the range).
    """
    _check_settings(
        alpha=alpha,
        temperature=temperature,
        beta=beta,
        gamma=gamma,
        center_temperature=center_temperature,
        base_temperature=base_temperature,
        label_smoothing=label_smoothing,
        reduction=reduction,
        impl=impl,
        chunk_size=chunk_size,
    )
    if embeddings.dim() not in (2, 3):
        raise ShapeError(
            'embeddings: expected shape (N, D) or (G, N, D), '
            f'got {tuple(embeddings.shape)}. Flatten pixels to rows first'
        )
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
        label_smoothing,
        ignore_index,
        batched,
    )

    dtype = compute_dtype(embeddings, center_logits, keys)
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        values, valid = _per_anchor(
            embeddings.to(dtype),
            labels,
            center_logits.to(dtype),
            keys.to(dtype),
            key_labels,
            alpha=alpha,
            temperature=temperature,
            beta=beta,
            gamma=gamma,
            center_temperature=center_temperature,
            base_temperature=temperature if base_temperature is None else base_temperature,
            class_prior=class_prior,
            label_smoothing=label_smoothing,
            ignore_index=ignore_index,
            contrast_ignored=contrast_ignored,
            impl=impl,
            chunk_size=chunk_size,
        )
        loss = reduce_anchors(values, valid, reduction)
    return loss if batched or reduction != 'none' else loss.squeeze(0)


def choose_impl(impl: str, num_sets: int, num_anchors: int, num_keys: int) -> str:
    """Resolve 'auto': dense where the similarities of all sets are few, else streaming."""
    if impl != 'auto':
        return impl
    similarities = num_sets * num_anchors * (num_anchors + num_keys)
    return 'dense' if similarities <= _DENSE_SIMILARITIES else 'streaming'


def _per_anchor(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    *,
    alpha: float,
    temperature: float,
    beta: float,
    gamma: float,
    center_temperature: float,
    base_temperature: float,
    class_prior: Tensor | None,
    label_smoothing: float,
    ignore_index: int | None,
    contrast_ignored: bool,
    impl: str,
    chunk_size: int | None,
) -> tuple[Tensor, Tensor]:
    """Per-anchor losses (G, N), 0 where not valid, and the valid mask (G, N)."""
    num_classes = center_logits.shape[-1]
    labels, key_labels = labels.long(), key_labels.long()
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
    keys = keys.masked_fill(~key_contrasted.unsqueeze(-1), 0.0)

    sets, anchors, _ = embeddings.shape
    if choose_impl(impl, sets, anchors, len(keys)) == 'dense':
        contrast_lse, positive_sum, positive_count = dense_contrast_sums(
            embeddings,
            class_index,
            torch.ones_like(valid) if contrasted is None else contrasted,
            keys,
            key_index,
            key_contrasted,
            temperature,
        )
    elif gamma == 0:  # only the positives are left, and they need no pairs
        positive_sum, positive_count = class_positive_sums(
            embeddings, class_index, contrasted, keys, key_index, key_contrasted, num_classes
        )
        positive_sum = positive_sum / temperature
    else:
        contrast_lse, positive_sum, positive_count = streaming_contrast_sums(
            embeddings,
            class_index,
            contrasted,
            keys,
            key_index,
            key_contrasted,
            temperature,
            num_classes,
            chunk_size,
        )

    logits = adjust_center_logits(center_logits, class_prior, center_temperature)
    log_denominator = logits.logsumexp(dim=-1)
    if gamma > 0:
        log_denominator = torch.logaddexp(log_denominator, contrast_lse + math.log(gamma))
    targets = class_index.masked_fill(~valid, 0)
    center_part = center_target_sum(logits, targets, label_smoothing) - log_denominator
    contrast_part = positive_sum - positive_count * log_denominator
    weight = beta + alpha * positive_count
    # beta = 0 leaves an anchor without sample positives nothing to learn from: 0, not 0 / 0.
    counted = valid & (weight > 0)
    numerator = beta * center_part + alpha * contrast_part
    values = numerator / torch.where(counted, weight, torch.ones_like(weight))
    values = values * (-temperature / base_temperature)
    return torch.where(counted, values, torch.zeros_like(values)), valid


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


def _check_settings(
    *,
    alpha: float,
    temperature: float,
    beta: float,
    gamma: float,
    center_temperature: float,
    base_temperature: float | None,
    label_smoothing: float,
    reduction: str,
    impl: str,
    chunk_size: int | None,
) -> None:
    check_range('alpha', alpha, low=0.0)
    check_range('beta', beta, low=0.0)
    check_range('gamma', gamma, low=0.0)
    check_range('temperature', temperature, low=0.0, low_open=True)
    check_range('center_temperature', center_temperature, low=0.0, low_open=True)
    if base_temperature is not None:
        check_range('base_temperature', base_temperature, low=0.0, low_open=True)
    check_range('label_smoothing', label_smoothing, low=0.0, high=1.0)
    if label_smoothing == 1.0:
        raise ValueError('label_smoothing: expected a value in [0, 1), got 1.0')
    if alpha == 0 and beta == 0:
        raise ValueError('alpha, beta: expected at least one > 0, got 0 and 0')
    check_choice('reduction', reduction, REDUCTIONS)
    check_choice('impl', impl, IMPLEMENTATIONS)
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ValueError(f'chunk_size: expected a positive integer or None, got {chunk_size!r}')


def _check_tensors(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    class_prior: Tensor | None,
    label_smoothing: float,
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
    if label_smoothing > 0 and num_classes < 2:
        raise ValueError(
            f'label_smoothing: expected 0 with a single class, got {label_smoothing!r}'
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
