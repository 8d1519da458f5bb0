"""Supervised contrastive loss, and the multi-task baseline that adds it to cross entropy.

Khosla et al., arXiv 2004.11362, eq. 2 (the form with the sum over positives outside the
logarithm). The multi-task baselines are those of the released GPaCo code (arXiv 2209.12400).
"""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.centers import adjust_center_logits
from paco_seg.core.checks import (
    check_choice,
    check_integer,
    check_prior,
    check_range,
    check_shape,
    compute_dtype,
    require,
)
from paco_seg.core.compared.balanced_softmax import cross_entropy_per_sample
from paco_seg.core.contrast import EMPTY, IMPLEMENTATIONS, ContrastRows, contrast_sums
from paco_seg.core.frequency import effective_numbers


def supcon_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    base_temperature: float | None = None,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    impl: str = 'auto',
) -> Tensor:
    """Return the supervised contrastive loss of each anchor.

    With ``s_ij = z_i . z_j / T``, the contrast set S(i) (every row but i, and every key) and the
    positives P(i) (rows of S(i) with the label of i)::

        L_i = -(T / T_base) / |P(i)| * sum_{j in P(i)} (s_ij - log sum_{a in S(i)} exp(s_ia))

    The denominator keeps positives and negatives. The mean divides by N: anchors without a
    positive give 0 and still count.

    Args:
        embeddings: (N, D) unit rows, all views of all images; all are anchors. Rows of other
            lengths are handled exactly, at about twice the cost.
        labels: (N,) integer, any values >= 0.
        temperature: T > 0.
        base_temperature: T_base > 0; None = ``temperature`` (factor 1). The published code
            uses 0.07 for both.
        keys: (M, D) further contrast rows (queue, other ranks); gradient flows to those that
            require it.
        key_labels: (M,) integer; -1 marks an empty slot, never contrasted.
        impl: 'dense' forms the N x (N + M) matrix, 'streaming' computes the same in tiles,
            'auto' takes dense only where the matrix is small.

    Returns:
        (N,) float32 (float64 for float64 input), in nats; 0 where P(i) is empty.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: labels are not integers.
        ValueError: a setting is out of range, a label is negative, or only one of ``keys`` and
            ``key_labels`` is given.
    """
    check_range('temperature', temperature, low=0.0, low_open=True)
    if base_temperature is None:
        base_temperature = temperature
    check_range('base_temperature', base_temperature, low=0.0, low_open=True)
    check_choice('impl', impl, IMPLEMENTATIONS)
    keys, key_labels = _check_rows(embeddings, labels, keys, key_labels)

    # Labels are compacted to 0 .. U-1, U <= N + M, so that class sums stay small however many
    # classes the data set has. Empty slots get the class U, which no anchor has.
    filled = key_labels != EMPTY
    present, compact = torch.unique(torch.cat([labels, key_labels]), return_inverse=True)
    class_index = compact[: len(labels)]
    key_index = compact[len(labels) :].masked_fill(~filled, len(present))

    dtype = compute_dtype(embeddings, keys)
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        rows = ContrastRows(
            embeddings.to(dtype).unsqueeze(0),
            class_index.unsqueeze(0),
            None,
            keys.to(dtype).masked_fill(~filled.unsqueeze(1), 0.0),
            key_index,
            filled,
            len(present),
        )
        sums = contrast_sums(rows, temperature, impl=impl)
        log_denominator, positive_sum, count = (term.squeeze(0) for term in sums)
        has_positive = count > 0
        # An anchor alone in the batch has log 0 = -inf here: taken out before the difference.
        log_denominator = log_denominator.masked_fill(~has_positive, 0.0)
        values = log_denominator - positive_sum / count.clamp(min=1)
        values = torch.where(has_positive, values, torch.zeros_like(values))
        return values * (temperature / base_temperature)


def inverse_effective_weights(
    class_counts: Tensor, *, beta: float = 0.999, released: bool = False
) -> Tensor:
    """Return the class weights ``mean(E) / E_c`` of the multi-task baseline.

    Args:
        class_counts: (C,) positive training counts.
        beta: of the effective numbers E.
        released: True gives what the published code computes: it averages E over an axis of
            length 1, which makes every weight exactly 1. False is the written intention.

    Returns:
        (C,) float32 (float64 for float64 input).

    Raises:
        ShapeError: ``class_counts`` is not a vector.
        ValueError: a count is not positive, or beta is out of range.
    """
    numbers = effective_numbers(class_counts, beta)
    weights = torch.ones_like(numbers) if released else numbers.mean() / numbers
    return weights.to(torch.float64 if class_counts.dtype == torch.float64 else torch.float32)


def multi_task_loss(
    embeddings: Tensor,
    labels: Tensor,
    logits: Tensor,
    *,
    alpha: float,
    temperature: float,
    class_prior: Tensor | None = None,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    impl: str = 'auto',
) -> Tensor:
    """Return ``CE_i + alpha w SupCon_i``: cross entropy plus weighted contrast of each anchor.

    The baselines that GPaCo is compared with: balanced softmax and class weights on long-tailed
    data (``class_prior``, ``class_weights``); neither on balanced CIFAR; ``label_smoothing`` 0.1
    for the ViT rows.

    Args:
        embeddings: (N, D) unit rows, both views of the batch.
        labels: (N,) integer in [0, C).
        logits: (N, C) of the classifier.
        alpha: weight of the contrastive term, >= 0.
        temperature: of the contrastive term, > 0.
        class_prior: (C,) positive class frequencies; ``log(prior + 1e-9)`` is added to the
            logits in training only.
        class_weights: (C,) weight of the contrastive term by class of the anchor, see
            :func:`inverse_effective_weights`; None = 1.
        label_smoothing: of the cross entropy, in the convention of torch and timm.
        keys: (M, D) further contrast rows (queue).
        key_labels: (M,) integer; -1 marks an empty slot.
        impl: as for :func:`supcon_loss`.

    Returns:
        (N,) float32 (float64 for float64 input), in nats; the published losses are its mean.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: labels are not integers.
        ValueError: a setting or a label is out of range.
    """
    check_range('alpha', alpha, low=0.0)
    check_shape('logits', logits, (embeddings.shape[0], 'C'))
    adjusted = logits.to(compute_dtype(embeddings, logits, keys))
    if class_prior is not None:
        check_prior('class_prior', class_prior, logits.shape[1])
        adjusted = adjust_center_logits(adjusted, class_prior, 1.0)
    values = cross_entropy_per_sample(adjusted, labels, label_smoothing=label_smoothing)
    contrast = supcon_loss(
        embeddings, labels, temperature=temperature, keys=keys, key_labels=key_labels, impl=impl
    )
    if class_weights is not None:
        check_shape('class_weights', class_weights, (logits.shape[1],))
        contrast = contrast * class_weights.to(contrast)[labels.long()]
    return values + alpha * contrast


def _check_rows(
    embeddings: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Check all rows; keys that are not given become empty tensors."""
    if (keys is None) != (key_labels is None):
        given, missing = ('keys', 'key_labels') if key_labels is None else ('key_labels', 'keys')
        raise ValueError(f'{missing}: expected a tensor because {given} is given, got None')
    if keys is None or key_labels is None:
        keys = embeddings.new_empty(0, embeddings.shape[-1])
        key_labels = labels.new_empty(0)
    check_shape('embeddings', embeddings, ('N', 'D'))
    check_shape('labels', labels, (embeddings.shape[0],))
    check_shape('keys', keys, ('M', embeddings.shape[1]))
    check_shape('key_labels', key_labels, (keys.shape[0],))
    check_integer('labels', labels)
    check_integer('key_labels', key_labels)
    labels, key_labels = labels.long(), key_labels.long()  # of uint8 255 would be EMPTY
    require(
        ~((labels < 0).any() | (key_labels < EMPTY).any()),
        'labels: expected values >= 0 (key_labels: >= -1), got {}. '
        'Remove ignored rows before the contrast',
        lambda: 'a smaller one',
    )
    return keys, key_labels
