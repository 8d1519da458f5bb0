"""Region Rebalance, pixel by pixel, in Python loops over float64 numbers."""

from __future__ import annotations

import math

Regions = dict[tuple[int, int], list[float]]


def region_means(features, labels, ignore_index: int, per_image: bool) -> Regions:
    """Mean feature by (group, class). Features [image][channel][row][column]."""
    pixels: dict[tuple[int, int], list[list[float]]] = {}
    for image, label_map in enumerate(labels):
        for row, line in enumerate(label_map):
            for column, label in enumerate(line):
                if label != ignore_index:
                    vector = [channel[row][column] for channel in features[image]]
                    pixels.setdefault((image if per_image else 0, label), []).append(vector)
    return {
        key: [sum(values) / len(vectors) for values in zip(*vectors, strict=True)]
        for key, vectors in pixels.items()
    }


def rebalanced_cross_entropy(
    logits: list[float], target: int, prior: list[float], kept_mass: float
) -> float:
    """The published convention of smoothing: ``kept_mass`` stays on the target class."""
    weighted = [p * math.exp(value) for p, value in zip(prior, logits, strict=True)]
    loss = 0.0
    for index, value in enumerate(weighted):
        mass = kept_mass if index == target else (1.0 - kept_mass) / (len(weighted) - 1)
        loss -= mass * math.log(value / sum(weighted))
    return loss


def soft_region_means(features, logits) -> list[list[list[float]]]:
    """[image][class][channel]: means weighted by the softmax over classes of each pixel."""
    result = []
    for feature_map, logit_map in zip(features, logits, strict=True):
        classes, channels = len(logit_map), len(feature_map)
        sums = [[0.0] * channels for _ in range(classes)]
        mass = [0.0] * classes
        for row in range(len(logit_map[0])):
            for column in range(len(logit_map[0][0])):
                odds = [math.exp(logit_map[index][row][column]) for index in range(classes)]
                for index in range(classes):
                    probability = odds[index] / sum(odds)
                    mass[index] += probability
                    for channel in range(channels):
                        value = feature_map[channel][row][column]
                        sums[index][channel] += probability * value
        result.append([[value / mass[index] for value in sums[index]] for index in range(classes)])
    return result


def predicted_region_loss(
    region_logits, present, prior: list[float], kept_mass: float, absent_weight: float
) -> float:
    """Region logits [image][class][class + 1]; present [image][class]."""
    total, weight = 0.0, 0.0
    for image, rows in enumerate(region_logits):
        for index, logits in enumerate(rows):
            here = present[image][index]
            target, factor = (index, 1.0) if here else (len(rows), absent_weight)
            total += factor * rebalanced_cross_entropy(logits, target, prior, kept_mass)
            weight += factor
    return total / weight
