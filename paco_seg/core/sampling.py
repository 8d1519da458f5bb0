"""Which pixels of an image become anchors: labels (and scores) to indices, nothing else."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_indices(
    num_sets: int,
    num_candidates: int,
    num_samples: int,
    *,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Indices drawn uniformly without replacement, independently for each set.

    GPaCo (arXiv 2209.12400, segmentation) draws 8192 of the pixels of each image this way,
    ignored pixels included.

    Args:
        num_sets: G, images.
        num_candidates: pixels of one image.
        num_samples: indices to draw; -1, or a number not below ``num_candidates``, takes all of
            them in order.
        device: where the indices live; the draw happens there too.
        generator: for a reproducible draw; None = the default generator of the device.

    Returns:
        (G, min(num_samples, num_candidates)) int64.
    """
    if num_samples == -1 or num_samples >= num_candidates:
        return torch.arange(num_candidates, device=device).expand(num_sets, -1)
    scores = torch.rand(num_sets, num_candidates, device=device, generator=generator)
    return scores.topk(num_samples, dim=1, sorted=False).indices


def gather_rows(values: Tensor, indices: Tensor) -> Tensor:
    """Rows of each set at its own indices: (G, N, K) and (G, S) -> (G, S, K)."""
    return values.gather(1, indices.unsqueeze(2).expand(-1, -1, values.shape[2]))
