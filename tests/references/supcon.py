"""Supervised contrastive loss in Python loops over float64 numbers, pair by pair."""

from __future__ import annotations

import math


def supcon(
    embeddings: list[list[float]],
    labels: list[int],
    temperature: float,
    keys: list[list[float]] | None = None,
    key_labels: list[int] | None = None,
) -> list[float]:
    rows = [*zip(embeddings, labels, strict=True), *zip(keys or [], key_labels or [], strict=True)]
    losses = []
    for anchor, (embedding, label) in enumerate(zip(embeddings, labels, strict=True)):
        similarity = {
            other: sum(a * b for a, b in zip(embedding, row, strict=True)) / temperature
            for other, (row, row_label) in enumerate(rows)
            if other != anchor and row_label != -1
        }
        positives = [other for other in similarity if rows[other][1] == label]
        if not positives:
            losses.append(0.0)
            continue
        denominator = sum(math.exp(value) for value in similarity.values())
        terms = [math.log(math.exp(similarity[other]) / denominator) for other in positives]
        losses.append(-sum(terms) / len(positives))
    return losses
