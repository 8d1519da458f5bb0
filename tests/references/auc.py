"""The square AUC loss as in the paper, pair of pixels by pair of pixels in float64."""

import math


def square_auc(logits, labels, gamma=1.0, ignore_index=-100):
    """``logits`` (N, C) and ``labels`` (N,) as lists -> the mean over pairs of present classes."""
    scores = [[1 / (1 + math.exp(-z)) for z in row] for row in logits]
    present = sorted(set(labels) - {ignore_index})
    total = 0.0
    for i in present:
        for j in present:
            if i == j:
                continue
            values = [
                (gamma - (scores[p][i] - scores[q][i])) ** 2 / 2
                for p, first in enumerate(labels)
                for q, second in enumerate(labels)
                if first == i and second == j
            ]
            total += sum(values) / len(values)
    return total / max(len(present) * (len(present) - 1), 1)
