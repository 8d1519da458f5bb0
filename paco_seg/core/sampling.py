"""Which rows of a set are used: labels (and logits) to indices or masks, nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from paco_seg.core.labels import class_index


def uniform_indices(
    num_sets: int,
    num_candidates: int,
    num_samples: int,
    *,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw indices uniformly without replacement, independently for each set.

    GPaCo (arXiv 2209.12400, segmentation) draws 8192 of the pixels of each image this way,
    ignored pixels included.

    Args:
        num_sets: G, images.
        num_candidates: pixels of one image.
        num_samples: indices to draw; -1, or a number not below ``num_candidates``, takes all of
            them in order.
        device: where the indices live; the draw happens there too.
        generator: for a reproducible draw; None = the default generator of the device.

    Returns:
        (G, min(num_samples, num_candidates)) int64.
    """
    if num_samples == -1 or num_samples >= num_candidates:
        return torch.arange(num_candidates, device=device).expand(num_sets, -1)
    scores = torch.rand(num_sets, num_candidates, device=device, generator=generator)
    return scores.topk(num_samples, dim=1, sorted=False).indices


def take_rows(values: Tensor, indices: Tensor) -> Tensor:
    """Take the places of each set at its own indices, as rows: (G, K, N), (G, S) -> (G, S, K).

    Values stay channels first until they are few.
    """
    taken = values.gather(2, indices.unsqueeze(1).expand(-1, values.shape[1], -1))
    return taken.transpose(1, 2).contiguous()


def weighted_indices(
    weights: Tensor, num_samples: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw indices without replacement with probability proportional to weights, per set.

    The draw at each step is proportional to the weights of what is left (Efraimidis and
    Spirakis, 2006: the smallest of exponential waiting times with these rates). Candidates of
    weight 0 come last.

    Args:
        weights: (G, N), >= 0.
        num_samples: as in :func:`uniform_indices`.
        generator: as in :func:`uniform_indices`.

    Returns:
        (G, min(num_samples, N)) int64.
    """
    sets, candidates = weights.shape
    if num_samples == -1 or num_samples >= candidates:
        return uniform_indices(sets, candidates, num_samples, device=weights.device)
    waiting = torch.empty_like(weights, dtype=torch.float32).exponential_(generator=generator)
    # A finite floor keeps zero weights comparable: they wait 1e30 times longer.
    rates = weights.to(waiting).clamp(min=1e-30)
    return (waiting / rates).topk(num_samples, dim=1, largest=False, sorted=False).indices


def class_balance_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return weights by which every class present in a set, and the ignored pixels, sum up alike.

    Args:
        labels: (G, N) integer; everything outside [0, C) counts as one class of its own.
        num_classes: C.

    Returns:
        (G, N) float32, 1 / (pixels of the own class in the set).
    """
    index, counts = _class_counts(labels, num_classes)
    return counts.gather(1, index).reciprocal()


def importance_weights(labels: Tensor, drawn_labels: Tensor, num_classes: int) -> Tensor:
    """Return how many members of its set each drawn one stands for.

    Members of a class that were drawn with equal probability are a uniform sample of it, however
    many there are of each class. Weighted by ``(members of the class in the set) / (drawn ones)``
    a mean over them is therefore an unbiased estimate of the mean over all members of the set, as
    long as every class present is drawn.

    Args:
        labels: (G, P) integer, of all candidates; outside [0, C) = ignored.
        drawn_labels: (G, N) integer, of those that were drawn.
        num_classes: C.

    Returns:
        (G, N) float32; 0 for ignored members. Those of a class sum up to its members in the set.

    Example:
        >>> importance_weights(torch.tensor([[0, 0, 0, 0, 1]]), torch.tensor([[1, 0, 0]]), 2)
        tensor([[1., 2., 2.]])
    """
    _, members = _class_counts(labels, num_classes)
    drawn, taken = _class_counts(drawn_labels, num_classes)
    weights = (members / taken.clamp(min=1.0)).gather(1, drawn)
    return weights.masked_fill(drawn == num_classes, 0.0)


def _class_counts(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return class indices (G, N), C for everything outside [0, C), and counts (G, C + 1)."""
    index = class_index(labels, num_classes)
    counts = torch.zeros(len(labels), num_classes + 1, device=labels.device)
    return index, counts.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float32))


def hardness_weights(logits: Tensor, labels: Tensor) -> Tensor:
    """Return one minus the predicted probability of the true class; 0 for ignored pixels.

    Args:
        logits: (G, N, C); no gradient flows.
        labels: (G, N) integer; outside [0, C) = ignored.

    Returns:
        (G, N) float32 in [0, 1].
    """
    num_classes = logits.shape[2]
    index = class_index(labels, num_classes)
    outside = index == num_classes
    index = index.masked_fill(outside, 0)
    probability = logits.detach().float().softmax(dim=2).gather(2, index.unsqueeze(2)).squeeze(2)
    return (1.0 - probability).masked_fill(outside, 0.0)


def per_class_mask(
    labels: Tensor,
    num_classes: int,
    per_class: int,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mark at most ``per_class`` random members of each class in each set.

    Classes with fewer members are taken whole: rare classes are never left out.

    Args:
        labels: (G, N) integer; outside [0, C) is never marked.
        num_classes: C.
        per_class: members to mark, >= 1.
        generator: as in :func:`uniform_indices`.

    Returns:
        (G, N) bool.
    """
    index = class_index(labels, num_classes)
    return (random_ranks(index, generator=generator) < per_class) & (index < num_classes)


def random_ranks(groups: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Number the members of each group of each set from 0 in random order.

    Args:
        groups: (G, N) integer, the group of each member.
        generator: as in :func:`uniform_indices`.

    Returns:
        (G, N) int64; members whose number is below n are n random ones of their group.
    """
    sets, candidates = groups.shape
    shuffle = torch.rand(sets, candidates, device=groups.device, generator=generator).argsort(1)
    # Stable sort of the shuffled groups: each group in one run, in random order within.
    runs, order = groups.gather(1, shuffle).sort(dim=1, stable=True)
    place = torch.arange(candidates, device=groups.device).expand(sets, -1)
    new_run = torch.ones_like(runs, dtype=torch.bool)
    new_run[:, 1:] = runs[:, 1:] != runs[:, :-1]
    run_start = torch.where(new_run, place, torch.zeros_like(place)).cummax(dim=1).values
    return torch.zeros_like(place).scatter(1, shuffle.gather(1, order), place - run_start)
