"""Options of the pixel loss in float64 loops: importance weights, region keys, gradient norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def importance_weights(labels: Tensor, drawn: Tensor, num_classes: int) -> Tensor:
    """Pixels of the class in the image over drawn pixels of it; 0 for other labels."""
    weights = torch.zeros(drawn.shape, dtype=torch.float64)
    for image in range(len(drawn)):
        every, some = labels[image].tolist(), drawn[image].tolist()
        for i, label in enumerate(some):
            if 0 <= label < num_classes:
                weights[image, i] = every.count(label) / some.count(label)
    return weights


def weighted_mean(values: list[list[Tensor]], valid: list[list[bool]], weights: Tensor) -> Tensor:
    """Weighted mean over the valid anchors of each set, then the mean over sets."""
    total = torch.zeros((), dtype=torch.float64)
    for of_set, counted, own in zip(values, valid, weights.double(), strict=True):
        pairs = [(v, w) for v, ok, w in zip(of_set, counted, own, strict=True) if ok]
        if pairs:
            mean = sum(v * w for v, w in pairs) / sum(w for _, w in pairs)
            total = total + mean / len(values)
    return total


def region_keys(embeddings: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Unit mean of each class of each set that has two rows or more; else zeros and -1."""
    keys, key_labels = [], []
    for rows, own in zip(embeddings.double(), labels.tolist(), strict=True):
        for c in range(num_classes):
            members = [row for row, label in zip(rows, own, strict=True) if label == c]
            if len(members) < 2:
                keys.append(torch.zeros(rows.shape[1], dtype=torch.float64))
                key_labels.append(-1)
                continue
            mean = sum(members) / len(members)
            keys.append(mean / math.sqrt(float(torch.dot(mean, mean))))
            key_labels.append(c)
    return torch.stack(keys), torch.tensor(key_labels)


def balanced_weight(quotients: list[float], ratio: float, slowest: float = 0.1) -> float:
    """Weight after measurements of |g| / |h|: running mean of logarithms, mean at first."""
    state = 0.0
    for number, quotient in enumerate(quotients, 1):
        rate = max(1 / number, slowest)
        state = (1 - rate) * state + rate * math.log(quotient)
    return ratio * math.exp(state)
