"""Seesaw loss with its factors as in the paper, sample by sample in float64."""

import math


def seesaw_values(logits, labels, counts, p, q, eps=0.01, ignore_index=-100):
    """``logits`` (N, C) and ``labels`` (N,) as lists, ``counts`` (C,) -> N values in nats."""
    values = []
    for row, label in zip(logits, labels, strict=True):
        if label == ignore_index:
            values.append(0.0)
            continue
        top = max(row)
        exps = [math.exp(z - top) for z in row]
        softmax = [e / sum(exps) for e in exps]
        total = 0.0
        for j, exp in enumerate(exps):
            own, other = max(counts[label], 1), max(counts[j], 1)
            mitigation = 1.0 if own <= other else (other / own) ** p
            score = max(softmax[label], eps)
            compensation = 1.0 if softmax[j] <= score else (softmax[j] / score) ** q
            total += exp if j == label else mitigation * compensation * exp
        values.append(-math.log(exps[label] / total))
    return values
