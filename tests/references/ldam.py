"""LDAM and the weights of deferred re-weighting in Python loops over float64 numbers."""

from __future__ import annotations

import math

from references.balanced_softmax import softmax_cross_entropy


def cosine(left: list[float], right: list[float]) -> float:
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / (math.sqrt(sum(a * a for a in left)) * math.sqrt(sum(b * b for b in right)))


def margins(counts: list[int], max_margin: float) -> list[float]:
    raw = [1.0 / math.sqrt(math.sqrt(count)) for count in counts]
    return [value * max_margin / max(raw) for value in raw]


def reweighting(counts: list[int], beta: float) -> list[float]:
    raw = [(1.0 - beta) / (1.0 - beta**count) for count in counts]
    return [value / sum(raw) * len(raw) for value in raw]


def ldam(
    features: list[list[float]],
    weight: list[list[float]],
    labels: list[int],
    class_margins: list[float],
    scale: float,
) -> list[float]:
    losses = []
    for feature, label in zip(features, labels, strict=True):
        logits = []
        for index, row in enumerate(weight):
            margin = class_margins[index] if index == label else 0.0
            logits.append(scale * (cosine(feature, row) - margin))
        losses.append(softmax_cross_entropy(logits, label))
    return losses
