"""CeCo in Python loops over float64 numbers."""

from __future__ import annotations

import math

from references.ldam import cosine
from references.region import rebalanced_cross_entropy


def simplex_corners(num_classes: int) -> list[list[float]]:
    """Corners of the standard simplex moved to the origin and scaled to unit length."""
    corners = []
    for index in range(num_classes):
        corner = [-1.0 / num_classes] * num_classes
        corner[index] += 1.0
        length = math.sqrt(sum(value * value for value in corner))
        corners.append([value / length for value in corner])
    return corners


def center_loss(
    centers: dict[int, list[float]], frame: list[list[float]], prior: list[float], scale: float
) -> float:
    """Centers by class, only those of the classes that are present."""
    total = 0.0
    for label, center in centers.items():
        logits = [scale * cosine(center, row) for row in frame]
        total += rebalanced_cross_entropy(logits, label, prior, kept_mass=1.0)
    return total / len(centers)
