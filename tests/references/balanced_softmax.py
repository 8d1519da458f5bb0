"""Balanced softmax and logit adjustment in Python loops over float64 numbers."""

from __future__ import annotations

import math


def softmax_cross_entropy(logits: list[float], label: int) -> float:
    return -math.log(math.exp(logits[label]) / sum(math.exp(value) for value in logits))


def balanced_softmax(
    logits: list[list[float]], labels: list[int], counts: list[float], strength: float
) -> list[float]:
    """Softmax weighted by n_j ** strength: the paper's form, without any logarithm of a prior."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        weighted = [
            count**strength * math.exp(value) for count, value in zip(counts, row, strict=True)
        ]
        losses.append(-math.log(weighted[label] / sum(weighted)))
    return losses
