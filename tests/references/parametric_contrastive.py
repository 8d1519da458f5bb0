"""PaCo / GPaCo per anchor in float64 loops: slow, obvious, and independent of ``paco_seg``.

Written from the equation of the papers (arXiv 2107.12028, eq. 4 and 2209.12400) alone; nothing of
the package is imported, no logarithm is stabilised, no term is computed for two anchors at once.
"""

from __future__ import annotations

import torch
from torch import Tensor


def parametric_contrastive_anchors(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    *,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    class_prior: Tensor | None = None,
    ignore_index: int | None = None,
    contrast_ignored: bool = True,
    temperature: float,
    center_temperature: float = 1.0,
    base_temperature: float | None = None,
    alpha: float,
    beta: float = 1.0,
    gamma: float = 1.0,
    label_smoothing: float = 0.0,
) -> tuple[list[list[Tensor]], list[list[bool]]]:
    """Losses of the anchors of each set (G, N) and which of them are valid.

    Embeddings (G, N, D), labels (G, N) and center logits (G, N, C) only; float64 throughout.
    """
    losses: list[list[Tensor]] = []
    valid: list[list[bool]] = []
    for rows, row_labels, logits in zip(embeddings, labels, center_logits, strict=True):
        contrast = [(row, int(label)) for row, label in zip(rows, row_labels, strict=True)]
        if keys is not None and key_labels is not None:
            contrast += [(key, int(label)) for key, label in zip(keys, key_labels, strict=True)]
        losses.append([])
        valid.append([])
        for i in range(len(rows)):
            label = int(row_labels[i])
            if label == ignore_index:
                losses[-1].append(0.0 * rows[i].sum() + 0.0 * logits[i].sum())
                valid[-1].append(False)
                continue
            centers = []
            for c in range(len(logits[i])):
                logit = logits[i][c]
                if class_prior is not None:
                    logit = logit + torch.log(class_prior[c] + 1e-9)
                centers.append(logit / center_temperature)
            similarities = []
            positives = []
            for j, (other, other_label) in enumerate(contrast):
                if j == i:
                    continue
                if j >= len(rows) and other_label == -1:  # a slot that nobody has written
                    continue
                if other_label == ignore_index and not contrast_ignored:
                    continue
                similarity = torch.dot(rows[i], other) / temperature
                similarities.append(similarity)
                if other_label == label:
                    positives.append(similarity)

            denominator = sum(torch.exp(logit) for logit in centers)
            for similarity in similarities:
                denominator = denominator + gamma * torch.exp(similarity)
            log_denominator = torch.log(denominator)

            total = 0.0 * rows[i].sum()
            for c, logit in enumerate(centers):
                if c == label:
                    target = 1.0 - label_smoothing
                else:
                    target = label_smoothing / (len(centers) - 1)
                total = total + beta * target * (logit - log_denominator)
            for similarity in positives:
                total = total + alpha * (similarity - log_denominator)
            weight = beta + alpha * len(positives)
            scale = 1.0 if base_temperature is None else temperature / base_temperature
            losses[-1].append(-scale * total / weight if weight > 0 else 0.0 * total)
            valid[-1].append(True)
    return losses, valid


def parametric_contrastive_loss(*args: Tensor, reduction: str = 'mean', **settings) -> Tensor:
    """The reduction of :func:`parametric_contrastive_anchors`: mean per set, then over sets."""
    losses, valid = parametric_contrastive_anchors(*args, **settings)
    nothing = 0.0 * sum(tensor.sum() for tensor in (args[0], args[2]))
    if reduction == 'none':
        if not losses or not losses[0]:
            return args[0].sum(-1)
        return torch.stack([torch.stack(values) for values in losses])
    if reduction == 'sum':
        return sum((value for values in losses for value in values), nothing)
    total = nothing
    for values, counted in zip(losses, valid, strict=True):
        if any(counted):
            total = total + sum(values) / sum(counted) / len(losses)
    return total
