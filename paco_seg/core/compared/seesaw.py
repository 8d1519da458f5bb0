"""Seesaw loss of a softmax over classes, in its logarithmic form.

Wang et al., Seesaw Loss for Long-Tailed Instance Segmentation, arXiv 2008.10032, eq. 4 to 8. The
factors M (mitigation) and C (compensation) of the probabilities of other classes are terms that are
added to their logits. Written for object proposals; here a sample may be a pixel.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from paco_seg.core.checks import check_range, check_shape, compute_dtype
from paco_seg.core.labels import class_index


def label_counts(labels: Tensor, num_classes: int) -> Tensor:
    """Count the samples of each class.

    Args:
        labels: integer, any shape; everything outside [0, C) counts nowhere.
        num_classes: C.

    Returns:
        (C,) float64, exact: a float32 counter stops growing at 2**24.
    """
    index = class_index(labels, num_classes).flatten()
    counts = torch.zeros(num_classes + 1, dtype=torch.int64, device=labels.device)
    return counts.index_add(0, index, torch.ones_like(index))[:num_classes].double()


def image_counts(labels: Tensor, num_classes: int) -> Tensor:
    """Count the images that hold each class.

    Args:
        labels: (B, ...) integer; everything outside [0, C) counts nowhere.
        num_classes: C.

    Returns:
        (C,) float64.
    """
    index = class_index(labels, num_classes).flatten(1)
    found = torch.zeros(len(labels), num_classes + 1, dtype=torch.bool, device=labels.device)
    return found.scatter(1, index, True)[:, :num_classes].double().sum(dim=0)


def seesaw_logits(
    logits: Tensor, labels: Tensor, counts: Tensor, *, p: float, q: float, eps: float = 0.01
) -> Tensor:
    """Return the logits whose softmax cross entropy is the seesaw loss.

    For a sample of class i, with the softmax s of its own logits (without gradient)::

        z'_j = z_j + p min(0, log max(n_j, 1) - log max(n_i, 1))
                   + q max(0, log s_j - log max(s_i, eps))

    The own logit stays: both terms are 0 for j = i.

    Args:
        logits: (N, C, ...), float32 or float64.
        labels: (N, ...) int64 in [0, C).
        counts: (C,) samples of each class so far, with those of this batch.
        p: exponent of the mitigation, >= 0: how much less a rare class is pushed down by samples
            of a frequent one.
        q: exponent of the compensation, >= 0: how much more a class is pushed down that is taken
            for the true one.
        eps: least probability of the true class in the compensation.

    Returns:
        (N, C, ...).
    """
    adjusted = logits
    own = labels.unsqueeze(1)
    if p > 0:
        sizes = counts.double().clamp(min=1).log().to(logits)
        shape = (1, -1, *[1] * (logits.dim() - 2))
        adjusted = adjusted + p * (sizes.view(shape) - sizes[own]).clamp(max=0.0)
    if q > 0:
        scores = logits.detach().log_softmax(dim=1)
        excess = scores - scores.gather(1, own).clamp(min=math.log(eps))
        adjusted = adjusted + q * excess.clamp(min=0.0)
    return adjusted


def seesaw_loss(
    logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    *,
    p: float = 0.8,
    q: float = 2.0,
    eps: float = 0.01,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Return the seesaw loss of each sample or pixel.

    Args:
        logits: (N, C, ...), any floating dtype.
        labels: (N, ...) int64, in [0, C) or ``ignore_index``.
        counts: (C,) samples of each class so far, >= 0, with those of this batch.
        p: exponent of the mitigation, see :func:`seesaw_logits`; with p = q = 0 the loss is cross
            entropy.
        q: exponent of the compensation.
        eps: least probability of the true class in the compensation, in (0, 1].
        class_weight: (C,) or None.
        ignore_index: label of samples whose loss is 0.

    Returns:
        (N, ...), in nats; float32 (float64 for float64 logits).

    Raises:
        ShapeError: ``counts`` has another length than there are classes.
        ValueError: a setting is out of range.
    """
    check_range('p', p, low=0.0)
    check_range('q', q, low=0.0)
    check_range('eps', eps, low=0.0, high=1.0, low_open=True)
    check_shape('counts', counts, (logits.shape[1],))
    values = logits.to(compute_dtype(logits))
    inside = labels.masked_fill(labels == ignore_index, 0)
    adjusted = seesaw_logits(values, inside, counts, p=p, q=q, eps=eps)
    nats = F.cross_entropy(adjusted, labels, reduction='none', ignore_index=ignore_index)
    if class_weight is not None:
        nats = nats * class_weight.to(nats)[inside]
    return nats
