"""The loss as the authors released it, written by us for comparison; nothing else uses it.

It keeps what makes the released module slow and large: a loop over images, float masks of size
N x (C + N), the row maximum over all columns (the own one included), exponential, product and
logarithm of the whole matrix, ``log(sum + 1e-12)``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def published_formulation(
    embeddings: Tensor,
    labels: Tensor,
    center_logits: Tensor,
    *,
    alpha: float,
    temperature: float,
    beta: float = 1.0,
    gamma: float = 1.0,
    ignore_index: int = 255,
) -> Tensor:
    """Mean over images of the mean over valid pixels; (G, N, D), (G, N), (G, N, C)."""
    total = embeddings.new_zeros(())
    for rows, targets, logits in zip(embeddings, labels, center_logits, strict=True):
        loss = _image_loss(rows, targets, logits, alpha, temperature, beta, gamma, ignore_index)
        total = total + loss / len(embeddings)
    return total


def _image_loss(
    rows: Tensor,
    labels: Tensor,
    logits: Tensor,
    alpha: float,
    temperature: float,
    beta: float,
    gamma: float,
    ignore_index: int,
) -> Tensor:
    count, classes = logits.shape
    targets = labels.masked_fill(labels == ignore_index, classes).view(-1, 1)

    # Names are bound again where the released code does so: what they held is freed.
    contrast = torch.scatter(
        torch.ones(count, count, device=rows.device, dtype=rows.dtype),
        1,
        torch.arange(count, device=rows.device).view(-1, 1),
        0.0,
    )
    weights = torch.eq(targets, targets.t()).to(rows.dtype)
    weights = weights * contrast
    centers = F.one_hot(targets.flatten(), classes + 1)[:, :classes].to(rows.dtype) * beta
    weights = torch.cat([centers, weights * alpha], dim=1)
    contrast = torch.cat([torch.ones_like(logits), gamma * contrast], dim=1)

    columns = torch.cat([logits, torch.matmul(rows, rows.t()) / temperature], dim=1)
    columns = columns - columns.max(dim=1, keepdim=True).values.detach()
    exponentials = torch.exp(columns) * contrast
    log_probability = columns - torch.log(exponentials.sum(dim=1, keepdim=True) + 1e-12)

    mean = (weights * log_probability).sum(dim=1) / (weights.sum(dim=1) + 1e-12)
    valid = (targets.flatten() != classes).to(rows.dtype)
    return (-mean * valid).sum() / (valid.sum() + 1e-12)
