"""ContrastiveSeg: pixels of all images of a batch are contrasted with each other and a memory.

Wang et al., Exploring Cross-Image Pixel Contrast for Semantic Segmentation, arXiv 2101.11939.
Positives stand one by one against the negatives: other positives are not in the denominator, unlike
in SupCon.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from paco_seg.core.checks import (
    check_choice,
    check_count,
    check_integer,
    check_range,
    check_shape,
    compute_dtype,
)
from paco_seg.core.labels import class_index
from paco_seg.core.sampling import random_ranks

MINING = ('all', 'hardest', 'semi-hard')


def choose_anchors(
    labels: Tensor,
    wrong: Tensor,
    num_classes: int,
    *,
    max_samples: int,
    max_views: int,
    min_pixels: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose anchors evenly over the classes of each image, half of them misclassified.

    Each pair of an image and a class that it holds gets the same number of anchors,
    ``max_samples // pairs`` but at most ``max_views`` and no more than it has pixels. Half of them
    are misclassified pixels (segmentation-aware sampling); where there are too few of one kind, the
    other kind fills up.

    Args:
        labels: (G, N) integer; outside [0, C) is never an anchor.
        wrong: (G, N) bool, pixels that are classified wrongly.
        num_classes: C.
        max_samples: anchors of the batch, at most.
        max_views: anchors of a class in an image, at most.
        min_pixels: pixels of a class below which an image gives no anchors of it; 1 leaves no class
            out, the released code wants more than ``max_views``.
        generator: for a reproducible draw.

    Returns:
        Indices (A,) into the G * N pixels, A the smaller of ``max_samples`` and their number, and
        (A,) bool, which of them are anchors. The shapes do not depend on the data.
    """
    sets, candidates = labels.shape
    index = class_index(labels, num_classes)
    # Groups of each image: 2c = class c classified well, 2c + 1 = wrongly; the last one is outside.
    kind = (2 * index + wrong).clamp(max=2 * num_classes)
    pixels = torch.zeros(sets, 2 * num_classes + 1, dtype=torch.long, device=labels.device)
    pixels.scatter_add_(1, kind, torch.ones_like(kind))
    easy, hard = pixels[:, :-1].reshape(sets, num_classes, 2).unbind(2)
    there = easy + hard >= min_pixels
    there &= easy + hard > 0
    views = (max_samples // there.sum().clamp(min=1)).clamp(min=1, max=max_views)
    number = torch.minimum(easy + hard, views) * there
    hard_number = torch.minimum(torch.maximum(number // 2, number - easy), hard)
    quota = torch.stack([number - hard_number, hard_number], dim=2).flatten(1)
    quota = F.pad(quota, (0, 1))  # none of those outside
    chosen = random_ranks(kind, generator=generator) < quota.gather(1, kind)
    # There are more only if there are more pairs than anchors: then some of them, at random.
    scores = torch.rand(chosen.shape, device=labels.device, generator=generator) + chosen
    indices = scores.flatten().topk(min(max_samples, sets * candidates)).indices
    return indices, chosen.flatten()[indices]


def pixel_contrast_loss(
    anchors: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    base_temperature: float | None = None,
    valid: Tensor | None = None,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    mining: str = 'all',
    hard_share: float = 0.1,
    num_negatives: int = 2048,
    num_positives: int = 1024,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the contrastive loss of pixels, mean over the anchors that have a positive.

    With ``s_ij = z_i . z_j / T``, positives P(i) and negatives N(i) of anchor i among the other
    anchors and the keys::

        L_i = (T / T_base) mean_{k in P(i)} log(1 + sum_{n in N(i)} exp(s_in - s_ik))

    Args:
        anchors: (A, D) unit rows.
        labels: (A,) integer.
        temperature: T > 0.
        base_temperature: T_base > 0; None = ``temperature`` (factor 1).
        valid: (A,) bool, rows that are anchors; None = all. The others have no influence.
        keys: (M, D) further contrast rows (the memory); gradient flows to those that require it.
        key_labels: (M,) integer; -1 = empty slot, never contrasted.
        mining: which positives and negatives of an anchor count: 'all'; 'hardest', the
            ``num_negatives`` most similar negatives and the ``num_positives`` least similar
            positives; 'semi-hard', as many drawn at random from the ``hard_share`` hardest of each.
        hard_share: of 'semi-hard', in (0, 1].
        num_negatives: of a mining, >= 1.
        num_positives: of a mining, >= 1.
        generator: for a reproducible draw.

    Returns:
        A scalar in nats, float32 (float64 for float64 input); a zero attached to the graph if no
        anchor has a positive.

    Raises:
        ShapeError: a tensor has another shape.
        TypeError: labels are not integers.
        ValueError: a setting is out of range, or only one of keys and key_labels is given.
    """
    check_range('temperature', temperature, low=0.0, low_open=True)
    if base_temperature is not None:
        check_range('base_temperature', base_temperature, low=0.0, low_open=True)
    factor = 1.0 if base_temperature is None else temperature / base_temperature
    check_choice('mining', mining, MINING)
    check_range('hard_share', hard_share, low=0.0, high=1.0, low_open=True)
    check_count('num_negatives', num_negatives, low=1)
    check_count('num_positives', num_positives, low=1)
    check_shape('anchors', anchors, ('A', 'D'))
    check_shape('labels', labels, (len(anchors),))
    check_integer('labels', labels)
    if (keys is None) != (key_labels is None):
        raise ValueError('keys: expected keys and key_labels, got one of them')
    if valid is None:
        valid = torch.ones_like(labels, dtype=torch.bool)
    dtype = compute_dtype(anchors, keys)
    with torch.autocast(device_type=anchors.device.type, enabled=False):
        rows = anchors.to(dtype).masked_fill(~valid.unsqueeze(1), 0.0)
        contrast, contrast_labels, there = rows, labels.long(), valid
        if keys is not None and key_labels is not None:
            check_shape('keys', keys, ('M', anchors.shape[1]))
            check_shape('key_labels', key_labels, (len(keys),))
            filled = key_labels >= 0
            # What an empty slot holds, NaN included, reaches no gradient.
            keys = keys.to(dtype).masked_fill(~filled.unsqueeze(1), 0.0)
            contrast = torch.cat([rows, keys])
            contrast_labels = torch.cat([contrast_labels, key_labels.long()])
            there = torch.cat([valid, filled])
        similarity = rows @ contrast.t() / temperature
        same = labels.long().unsqueeze(1) == contrast_labels
        pairs = valid.unsqueeze(1) & there
        own = torch.arange(len(rows), device=rows.device)
        positive = (same & pairs).index_put((own, own), torch.zeros_like(valid))
        negative = ~same & pairs
        settings = (mining, hard_share, generator)
        against, negative = _mined(similarity, negative, similarity, num_negatives, *settings)
        similarity, positive = _mined(similarity, positive, -similarity, num_positives, *settings)
        # A finite floor: of rows without a negative the logarithm of 0 has no gradient.
        against = against.masked_fill(~negative, torch.finfo(dtype).min / 2)
        sums = against.logsumexp(dim=1, keepdim=True) if against.shape[1] else -torch.inf
        # softplus(x) = log(1 + e^x)
        values = F.softplus(sums - similarity, threshold=50.0)
        count = positive.sum(dim=1)
        values = values.masked_fill(~positive, 0.0).sum(dim=1) / count.clamp(min=1)
        return factor * values.sum() / (count > 0).sum().clamp(min=1)


def _mined(
    values: Tensor,
    candidates: Tensor,
    hardness: Tensor,
    number: int,
    mining: str,
    share: float,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Keep the values of the chosen candidates: (A, K) -> (A, k) and which of these count."""
    total = values.shape[1]
    if mining == 'all' or not total:
        return values, candidates
    count = candidates.sum(dim=1, keepdim=True)
    if mining == 'hardest':
        most, limit = min(number, total), count
    else:
        most = math.ceil(share * total)
        limit = (share * count).ceil().long()
    ordered = hardness.detach().masked_fill(~candidates, -torch.inf)
    chosen = ordered.topk(most, dim=1).indices
    kept = torch.arange(most, device=values.device) < limit
    if mining == 'semi-hard' and number < most:
        scores = torch.rand(chosen.shape, device=values.device, generator=generator)
        drawn = scores.masked_fill(~kept, -1.0).topk(number, dim=1).indices
        chosen, kept = chosen.gather(1, drawn), kept.gather(1, drawn)
    return values.gather(1, chosen), kept
