"""Tau-normalisation and learnable weight scaling in Python loops over float64 numbers."""

from __future__ import annotations

import math


def tau_normalized_logits(
    features: list[list[float]], weight: list[list[float]], tau: float
) -> list[list[float]]:
    logits = []
    for feature in features:
        row = []
        for vector in weight:
            norm = math.sqrt(sum(value * value for value in vector))
            row.append(sum(a * b / norm**tau for a, b in zip(feature, vector, strict=True)))
        logits.append(row)
    return logits


def scaled_logits(logits: list[list[float]], scales: list[float]) -> list[list[float]]:
    return [[a * b for a, b in zip(row, scales, strict=True)] for row in logits]
