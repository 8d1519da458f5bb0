"""Hybrid-SC and Hybrid-PSC: contrastive feature learning that hands over to the classifier.

Wang et al., arXiv 2103.14267. The contrastive loss of Hybrid-SC is
:func:`paco_seg.core.compared.supcon.supcon_loss`; Hybrid-PSC contrasts with one learnable
prototype per class instead of with the other samples, at O(N C) instead of O(N^2). A curriculum
moves the weight from the feature branch to the classifier branch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core.checks import (
    ShapeError,
    check_choice,
    check_integer,
    check_labels,
    check_range,
    check_shape,
    compute_dtype,
)

SCHEDULES = ('parabolic', 'linear')


def curriculum_weight(epoch: float, max_epochs: float, schedule: str = 'parabolic') -> float:
    """Return the weight alpha(T) of the contrastive loss; the classifier gets ``1 - alpha(T)``.

    'parabolic' is ``1 - (T / T_max)^2`` (CIFAR-LT), 'linear' is ``1 - T / T_max``. Runners that
    count iterations pass ``T = iteration / iterations_per_epoch``.

    Args:
        epoch: T, from 0 to ``max_epochs``.
        max_epochs: T_max > 0.
        schedule: 'parabolic' or 'linear'.

    Returns:
        A weight in [0, 1].

    Raises:
        ValueError: the epoch is out of range or the schedule unknown.
    """
    check_range('max_epochs', max_epochs, low=0.0, low_open=True)
    check_range('epoch', epoch, low=0.0, high=max_epochs)
    check_choice('schedule', schedule, SCHEDULES)
    progress = epoch / max_epochs
    return 1.0 - (progress**2 if schedule == 'parabolic' else progress)


def prototype_loss(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    temperature: float,
    prototype_weights: Tensor | None = None,
) -> Tensor:
    """Return the prototypical supervised contrastive loss of each sample.

    With unit prototypes p_jm, M per class, and convex weights w_m::

        L_i = -sum_m w_m z_i . p_{y_i m} / T + log sum_{j != y_i} sum_m exp(z_i . p_jm / T)

    The denominator excludes the own class, so that the loss may be negative; it is not clamped.
    For M = 1, ``softplus(L_i)`` is the cosine-softmax cross entropy at scale 1/T.

    Args:
        embeddings: (N, D) unit rows.
        labels: (N,) integer in [0, C).
        prototypes: (C, D) or (C, M, D), learnable; normalised here, so that their length
            (weight decay) has no effect. C >= 2.
        temperature: T > 0; the recipes use 0.1 (CIFAR-100-LT) and 1 (CIFAR-10-LT).
        prototype_weights: (C, M), rows that sum to 1; None = 1 / M.

    Returns:
        (N,) float32 (float64 for float64 input), in nats.

    Raises:
        ShapeError: a tensor has another shape, or there is only one class.
        ValueError: the temperature is not positive, or a label is no class.
    """
    check_range('temperature', temperature, low=0.0, low_open=True)
    check_shape('embeddings', embeddings, ('N', 'D'))
    if prototypes.dim() == 2:
        prototypes = prototypes.unsqueeze(1)
    check_shape('prototypes', prototypes, ('C', 'M', embeddings.shape[1]))
    num_classes, per_class, _ = prototypes.shape
    if num_classes < 2:
        raise ShapeError(
            f'prototypes: expected at least 2 classes, got {num_classes}. '
            'The denominator holds the prototypes of the other classes'
        )
    check_shape('labels', labels, (embeddings.shape[0],))
    check_integer('labels', labels)
    check_labels('labels', labels, num_classes)
    if prototype_weights is not None:
        check_shape('prototype_weights', prototype_weights, (num_classes, per_class))

    dtype = compute_dtype(embeddings, prototypes)
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        unit = F.normalize(prototypes.to(dtype), dim=-1)
        similarity = torch.einsum('nd,cmd->ncm', embeddings.to(dtype), unit) / temperature
        own = labels.unsqueeze(1) == torch.arange(num_classes, device=labels.device)
        attraction = similarity[torch.arange(len(labels), device=labels.device), labels.long()]
        if prototype_weights is None:
            attraction = attraction.mean(dim=1)
        else:
            attraction = (attraction * prototype_weights.to(dtype)[labels.long()]).sum(dim=1)
        others = similarity.masked_fill(own.unsqueeze(2), -torch.inf).flatten(1)
        return others.logsumexp(dim=1) - attraction
