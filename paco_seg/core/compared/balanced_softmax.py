"""Balanced softmax and logit adjustment: a class prior in the logits, at one of two times.

Ren et al., arXiv 2007.10740 (balanced softmax); Menon et al., arXiv 2007.07314 (logit adjustment).
Both forms have the same Bayes target and different finite-sample results; use exactly one of them,
and neither together with class-balanced sampling, which already removes the prior.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from paco_seg.core.checks import check_integer, check_labels, check_shape, compute_dtype
from paco_seg.core.frequency import log_class_prior


def cross_entropy_per_sample(
    logits: Tensor,
    labels: Tensor,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the softmax cross entropy of each sample, in float32 or float64.

    Args:
        logits: (N, C), any floating dtype.
        labels: (N,) int64 in [0, C) or ``ignore_index``.
        ignore_index: label of samples that give 0, or None.
        label_smoothing: eps; the target is ``1 - eps + eps / C`` on the own class and ``eps / C``
            on the others (the convention of torch and timm, **not** the ``eps / (C - 1)`` of
            GPaCo and Region Rebalance).

    Returns:
        (N,) in nats, 0 where the label is ``ignore_index``.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a label is neither a class nor ``ignore_index``.
    """
    check_shape('logits', logits, ('N', 'C'))
    check_shape('labels', labels, (logits.shape[0],))
    check_integer('labels', labels)
    check_labels(
        'labels', labels, logits.shape[1], allowed=() if ignore_index is None else (ignore_index,)
    )
    return F.cross_entropy(
        logits.to(compute_dtype(logits)),
        labels.long(),
        # Without an ignore label every label is a class (checked), so -100 never occurs.
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
        reduction='none',
    )


def balanced_softmax_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Tensor,
    *,
    strength: float = 1.0,
    ignore_index: int | None = None,
) -> Tensor:
    """Return the balanced softmax of each sample: ``CE(logits + strength * log prior, y)``.

    Training only: predict with the raw logits. Cosine logits need a scale (about 30) before,
    otherwise the prior swamps them.

    Args:
        logits: (N, C), any floating dtype.
        labels: (N,) int64 in [0, C) or ``ignore_index``.
        class_counts: (C,) positive training counts, any scale.
        strength: factor on the log prior; 1 is balanced softmax, 0 is cross entropy.
        ignore_index: label of samples that give 0, or None.

    Returns:
        (N,) float32 (float64 for float64 input), in nats.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a class count is not positive, or a label is no class.
    """
    adjusted = _shift(logits, class_counts, strength)
    return cross_entropy_per_sample(adjusted, labels, ignore_index=ignore_index)


def posthoc_adjusted_logits(
    logits: Tensor, class_counts: Tensor, *, strength: float = 1.0
) -> Tensor:
    """Return logits of a model trained with plain cross entropy, less ``strength * log prior``.

    Args:
        logits: (N, C), any floating dtype.
        class_counts: (C,) positive training counts, any scale.
        strength: factor on the log prior.

    Returns:
        (N, C) float32 (float64 for float64 input); its argmax is the adjusted prediction.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a class count is not positive.
    """
    return _shift(logits, class_counts, -strength)


def _shift(logits: Tensor, class_counts: Tensor, factor: float) -> Tensor:
    check_shape('logits', logits, ('N', 'C'))
    check_shape('class_counts', class_counts, (logits.shape[1],))
    values = logits.to(compute_dtype(logits))
    return values + factor * log_class_prior(class_counts).to(values)
