"""CeCo: region centers are pulled to a fixed simplex while the pixel classifier stays free.

Zhong et al., Understanding Imbalanced Semantic Segmentation Through Neural Collapse, arXiv
2301.01100, section 3. The centers are the region means of :mod:`paco_seg.core.compared.region`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core.checks import check_count, check_range, check_shape, compute_dtype
from paco_seg.core.compared.region import region_rebalance_loss


def simplex_etf(num_classes: int, channels: int, *, seed: int) -> Tensor:
    """Return a simplex equiangular tight frame: unit rows, pairwise cosine -1/(C - 1), sum 0.

    ``sqrt(C / (C - 1)) (I - 11^T / C) U^T`` with U random with orthonormal columns. It is drawn in
    float64 on the CPU from its own generator, so that every rank and every run with the same seed
    gets the same frame whatever else consumed random numbers; keep it as a buffer, so that it
    also travels with the checkpoint.

    Args:
        num_classes: C >= 2.
        channels: D >= C.
        seed: of the rotation.

    Returns:
        (C, D) float64.

    Raises:
        ValueError: there are fewer channels than classes, or a single class.
    """
    check_count('num_classes', num_classes, low=2)
    check_range(
        'channels', channels, low=num_classes, remedy='A simplex of C classes needs C channels'
    )
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(channels, num_classes, generator=generator, dtype=torch.float64)
    orthonormal, upper = torch.linalg.qr(normal)
    # QR leaves the signs of the columns to the library; a positive diagonal makes it unique.
    orthonormal = orthonormal * upper.diagonal().sign()
    centered = orthonormal - orthonormal.mean(dim=1, keepdim=True)
    return F.normalize(math.sqrt(num_classes / (num_classes - 1)) * centered.t(), dim=1)


def center_loss(
    centers: Tensor,
    present: Tensor,
    frame: Tensor,
    *,
    scale: float = 5.0,
    prior: Tensor | None = None,
    label_smoothing: float = 0.0,
    dropout: float = 0.0,
) -> Tensor:
    """Return the center collapse loss: ``mean_k -log softmax(s f_k W^T + log prior)_k``.

    f is the center normalised to unit length. A center on its vertex still costs
    ``log(1 + (C - 1) exp(-s C / (C - 1)))`` (0.678 for C = 150, s = 5): the loss has a floor.

    Args:
        centers: (G, C, D) projected region means.
        present: (G, C) bool; centers of absent classes have no influence.
        frame: (C, D) fixed unit rows, see :func:`simplex_etf`.
        scale: s > 0.
        prior: (C,) positive image frequencies; None = no prior.
        label_smoothing: eps, see :func:`paco_seg.core.compared.region.region_loss`.
        dropout: probability of dropping a channel of a unit center, in [0, 1); the published
            code drops 0.1. It draws from the global generator of the device.

    Returns:
        A scalar, float32 (float64 for float64 centers); a zero attached to the graph if no class
        is present.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: a setting is out of range.
    """
    check_range('scale', scale, low=0.0, low_open=True)
    check_range('dropout', dropout, low=0.0, high=1.0)
    if dropout == 1.0:
        raise ValueError('dropout: expected a value in [0, 1), got 1.0, which drops every channel')
    check_shape('frame', frame, ('C', 'D'))
    check_shape('centers', centers, ('G', *frame.shape))
    dtype = compute_dtype(centers)
    with torch.autocast(device_type=centers.device.type, enabled=False):
        unit = F.dropout(F.normalize(centers.to(dtype), dim=-1), dropout)
        logits = scale * F.linear(unit, frame.to(dtype))
    return region_rebalance_loss(logits, present, prior=prior, label_smoothing=label_smoothing)
