"""Prototypical supervised contrast in Python loops over float64 numbers."""

from __future__ import annotations

import math

from references.ldam import cosine


def prototype_contrast(
    embeddings: list[list[float]],
    labels: list[int],
    prototypes: list[list[list[float]]],
    temperature: float,
    weights: list[list[float]],
) -> list[float]:
    """Prototypes (C, M, D); ``embeddings`` are unit rows, so the cosine is the dot product."""
    losses = []
    for embedding, label in zip(embeddings, labels, strict=True):
        denominator = 0.0
        for index, own in enumerate(prototypes):
            if index != label:
                denominator += sum(math.exp(cosine(embedding, p) / temperature) for p in own)
        loss = 0.0
        for weight, prototype in zip(weights[label], prototypes[label], strict=True):
            fraction = math.exp(cosine(embedding, prototype) / temperature) / denominator
            loss -= weight * math.log(fraction)
        losses.append(loss)
    return losses
