"""Focal loss as in the paper, pixel by pixel in float64."""

import math


def focal_values(logits, labels, gamma, class_weight=None, ignore_index=-100):
    """``logits`` (N, C) and ``labels`` (N,) as lists -> N values in nats."""
    values = []
    for row, label in zip(logits, labels, strict=True):
        if label == ignore_index:
            values.append(0.0)
            continue
        top = max(row)
        p = math.exp(row[label] - top) / sum(math.exp(score - top) for score in row)
        weight = 1.0 if class_weight is None else class_weight[label]
        values.append(-weight * (1.0 - p) ** gamma * math.log(p))
    return values
