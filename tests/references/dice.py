"""The Dice loss by its definition, pixel by pixel in float64."""

import math


def dice(logits, labels, ignore_index=-100):
    """``logits`` (N, C) and ``labels`` (N,) as lists -> one minus the mean overlap."""
    rows = [
        ([math.exp(z) / sum(map(math.exp, row)) for z in row], label)
        for row, label in zip(logits, labels, strict=True)
        if label != ignore_index
    ]
    overlaps = []
    for own in sorted({label for _, label in rows}):
        shared = sum(p[own] for p, label in rows if label == own)
        squares = sum(p[own] ** 2 for p, _ in rows)
        number = sum(label == own for _, label in rows)
        overlaps.append(2 * shared / (squares + number))
    return 1 - sum(overlaps) / len(overlaps) if overlaps else 0.0
