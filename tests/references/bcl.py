"""Balanced contrastive loss in Python loops over float64 numbers, class by class."""

from __future__ import annotations

import math


def bcl(
    embeddings: list[list[float]],
    labels: list[int],
    prototypes: list[list[float]],
    temperature: float,
    keys: list[list[float]] | None = None,
    key_labels: list[int] | None = None,
) -> list[float]:
    rows = [*embeddings, *(keys or []), *prototypes]
    row_labels = [*labels, *(key_labels or []), *range(len(prototypes))]
    losses = []
    for anchor, (embedding, label) in enumerate(zip(embeddings, labels, strict=True)):
        members: dict[int, list[float]] = {c: [] for c in range(len(prototypes))}
        for other, (row, row_label) in enumerate(zip(rows, row_labels, strict=True)):
            if other != anchor:
                product = sum(a * b for a, b in zip(embedding, row, strict=True))
                members[row_label].append(product / temperature)
        denominator = sum(
            sum(math.exp(value) for value in values) / len(values) for values in members.values()
        )
        terms = [math.log(math.exp(value) / denominator) for value in members[label]]
        losses.append(-sum(terms) / len(terms))
    return losses
