"""Classifier re-training: tau-normalisation, learnable weight scaling, class-aware sampling.

Kang et al., Decoupling Representation and Classifier, arXiv 1910.09217, section 4. All three start
from a model trained with cross entropy on instance-balanced batches and leave its backbone as it
is: cRT re-trains the classifier on class-aware batches, LWS re-trains one scale per class, and
tau-normalisation trains nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core.checks import check_count, check_integer, check_labels, check_range, check_shape


def tau_normalize(weight: Tensor, tau: float) -> Tensor:
    """Return ``w_j / ||w_j||^tau`` (section 4.2). Drop the bias of the classifier with it.

    tau = 0 returns the weights, tau = 1 unit class vectors. Choose tau on held-out data (the
    published grid is 0, 0.1, ..., 2), never on the test set.

    Args:
        weight: (C, D) rows of the classifier.
        tau: >= 0.

    Returns:
        (C, D), same dtype. A zero row stays zero.

    Raises:
        ShapeError: ``weight`` is not a matrix.
        ValueError: ``tau`` is negative.
    """
    check_shape('weight', weight, ('C', 'D'))
    check_range('tau', tau, low=0.0)
    norms: Tensor = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
    # a zero row divided by 1; a tiny norm in its place would underflow for tau > 1
    return weight / torch.where(norms > 0, norms, 1.0).pow(tau)


def tau_normalized_logits(features: Tensor, weight: Tensor, tau: float) -> Tensor:
    """Return the logits of the tau-normalised classifier, without bias.

    Args:
        features: (N, D).
        weight: (C, D).
        tau: >= 0.

    Returns:
        (N, C).

    Raises:
        ShapeError: the widths differ.
        ValueError: ``tau`` is negative.
    """
    check_shape('features', features, ('N', weight.shape[-1]))
    return F.linear(features, tau_normalize(weight, tau))


def scaled_logits(logits: Tensor, scales: Tensor) -> Tensor:
    """Scale the logits by learnable weights (LWS, section 4.3): ``scale_j`` times logit j.

    The logits come from the frozen classifier; ones start from the stage-one classifier. The
    published code learns the scales themselves, which may become negative.

    Args:
        logits: (N, C).
        scales: (C,), the only learnable parameters.

    Returns:
        (N, C).

    Raises:
        ShapeError: the numbers of classes differ.
    """
    check_shape('logits', logits, ('N', 'C'))
    check_shape('scales', scales, (logits.shape[1],))
    return logits * scales


def class_aware_indices(
    labels: Tensor,
    *,
    generator: torch.Generator,
    samples_per_visit: int = 4,
    length: int | None = None,
) -> Tensor:
    """Draw one epoch of class-aware samples (cRT, LWS): every class equally often.

    Classes are visited in shuffled cycles; a visit emits ``samples_per_visit`` samples of the
    class, taken from shuffled cycles over its own samples. Classes with fewer samples repeat
    inside a visit. Classes without a sample are not visited.

    Args:
        labels: (N,) integer >= 0, labels of the training set (CPU).
        generator: CPU generator; its state determines the result.
        samples_per_visit: >= 1.
        length: indices to emit; None = largest class count times the number of classes present,
            the published sampler; on ImageNet-LT that is about eleven passes over the data, of
            which the published training draws one per epoch.

    Returns:
        (length,) int64 indices into ``labels``.

    Raises:
        ShapeError: ``labels`` is not a vector.
        TypeError: labels are not integers.
        ValueError: there is no sample, a label is negative, or a setting is out of range.
    """
    check_shape('labels', labels, ('N',))
    check_integer('labels', labels)
    check_range('number of samples', labels.numel(), low=1)
    check_count('samples_per_visit', samples_per_visit, low=1)
    check_labels('labels', labels, int(labels.max()) + 1)
    present, class_of, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    if length is None:
        length = int(counts.max()) * len(present)
    check_count('length', length)

    visits = -(-length // samples_per_visit)
    order = _shuffled_cycles(torch.arange(len(present)), visits, generator)
    members = torch.split(torch.argsort(class_of, stable=True), counts.tolist())
    visits_of = torch.bincount(order, minlength=len(present)).tolist()
    # All draws of a class at once, then dealt out to its visits in their order.
    emitted = torch.empty(visits, samples_per_visit, dtype=torch.long)
    slots = torch.split(torch.argsort(order, stable=True), visits_of)
    for own, slot in zip(members, slots, strict=True):
        draws = _shuffled_cycles(own, len(slot) * samples_per_visit, generator)
        emitted[slot] = draws.view(-1, samples_per_visit)
    return emitted.flatten()[:length]


def _shuffled_cycles(items: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Return ``length`` items: the whole set in random order, again and again."""
    cycles = [
        items[torch.randperm(len(items), generator=generator)]
        for _ in range(-(-length // len(items)))
    ]
    return torch.cat([items[:0], *cycles])[:length]
