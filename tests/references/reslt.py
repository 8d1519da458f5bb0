"""ResLT in Python loops over float64 numbers."""

from __future__ import annotations

from references.balanced_softmax import softmax_cross_entropy


def class_groups(counts: list[int], sizes: list[int]) -> list[set[int]]:
    """The rarest classes of each size, ties to the higher class index."""
    rarest_first = sorted(range(len(counts)), key=lambda index: (counts[index], -index))
    return [set(rarest_first[:size]) for size in sizes]


def reslt(
    branch_logits: list[list[list[float]]],
    labels: list[int],
    groups: list[set[int]],
    alpha: float,
    ignore_index: int | None = None,
) -> float:
    numerator, denominator, fusion, samples = 0.0, 0, 0.0, 0
    for sample, label in enumerate(labels):
        if label == ignore_index:
            continue
        total = [0.0] * len(branch_logits[0][sample])
        for logits, group in zip(branch_logits, groups, strict=True):
            if label in group:
                numerator += softmax_cross_entropy(logits[sample], label)
                denominator += 1
            if group:
                total = [a + b for a, b in zip(total, logits[sample], strict=True)]
        fusion += softmax_cross_entropy(total, label)
        samples += 1
    return alpha * numerator / denominator + (1 - alpha) * fusion / samples
