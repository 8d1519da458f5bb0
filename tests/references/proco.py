"""Contrast with vMF distributions in Python loops over float64 numbers.

The Bessel function is its power series, term by term in logarithms; the means are plain means.
"""

from __future__ import annotations

import math


def log_bessel(order: float, x: float) -> float:
    """``log(I_v(x) x^-v)``."""
    terms, k = [], 0
    while k < 20 or terms[-1] > max(terms) - 40:
        terms.append(
            2 * k * math.log(x) - (order + 2 * k) * math.log(2)
            - math.lgamma(k + 1) - math.lgamma(order + k + 1)
        )  # fmt: skip
        k += 1
    largest = max(terms)
    return largest + math.log(math.fsum(math.exp(term - largest) for term in terms))


def concentration(length: float, channels: int) -> float:
    return length * (channels - length**2) / (1 - length**2)


def vmf_logit(
    embedding: list[float], direction: list[float], kappa: float, temperature: float
) -> float:
    order = len(embedding) / 2 - 1
    shifted = [kappa * m + z / temperature for m, z in zip(direction, embedding, strict=True)]
    norm = math.sqrt(sum(value**2 for value in shifted))
    return log_bessel(order, norm) - log_bessel(order, kappa)


def proco(
    embeddings: list[list[float]],
    labels: list[int],
    directions: list[list[float]],
    kappas: list[float],
    counts: list[int],
    temperature: float,
) -> list[float]:
    losses = []
    for embedding, label in zip(embeddings, labels, strict=True):
        logits = [
            vmf_logit(embedding, direction, kappa, temperature) + math.log(count / sum(counts))
            for direction, kappa, count in zip(directions, kappas, counts, strict=True)
        ]
        largest = max(logits)
        denominator = sum(math.exp(logit - largest) for logit in logits)
        losses.append(largest + math.log(denominator) - logits[label])
    return losses


def class_means(rows: list[list[float]], labels: list[int], label: int) -> list[float]:
    own = [row for row, row_label in zip(rows, labels, strict=True) if row_label == label]
    return [sum(values) / len(own) for values in zip(*own, strict=True)]
