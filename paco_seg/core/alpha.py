"""The scale of alpha: what acts is alpha times the number of positives of an anchor.

The optimum of the loss gives the own center of an anchor the probability ``1 / (1 + alpha |P|)``
(PaCo, arXiv 2107.12028, section 3): frequent classes are held back, rare ones are not. The same
alpha therefore means different things for another number of classes, another class distribution
or another queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paco_seg.core.checks import check_range


class AlphaScale(NamedTuple):
    """Values of alpha |P| of the most frequent class.

    Args:
        published: smallest and largest in the published recipes.
        target: what ``alpha='auto'`` aims at.
    """

    published: tuple[float, float]
    target: float


# Computed from the class counts, queue lengths and batches of the published recipes. From scratch
# or from MAE: 0.14 (balanced CIFAR-100), 0.34 to 0.60 (CIFAR-100-LT), 0.47 (ImageNet), 0.99
# (iNat18), 1.9 (ImageNet, MAE), 4.1 to 4.6 (ImageNet-LT). Fine-tuning on Places-LT lies beyond
# (GPaCo 13, PaCo 33): the range says nothing about a training that starts from a supervised model,
# and the warning says so. The target is from the low end, where the three sets of
# benchmarks/alpha_scale.py (10, 30 and 100 classes) meet: too low costs little there, too high
# costs the frequent classes several points.
CLASSIFICATION = AlphaScale(published=(0.1, 5.0), target=0.15)
# For a class that fills a third of 8192 pixels: 27 to 82 (alpha 0.01 to 0.03); cross entropy is
# kept beside the loss there. The target is far below; on the demo data it does as well as the
# paper's 0.01 (docs/pixel_options.md).
SEGMENTATION = AlphaScale(published=(0.1, 100.0), target=1.0)


class GroupProduct(NamedTuple):
    """alpha |P| over the classes of one group."""

    num_classes: int
    smallest: float
    mean: float
    largest: float


def expected_positives(shares: Tensor, num_rows: float, *, certain: float = 0.0) -> Tensor:
    """Return the positives that an anchor of each class meets on average, |P|.

    Classification: ``shares`` are the class frequencies of the training set, ``num_rows`` the
    queue and the rows of the other images of the batch, ``certain`` the other views of the image
    itself. Segmentation: ``shares`` are the mean shares of the class among the pixels of the
    images that contain it, ``num_rows`` the pixels drawn per image.

    Args:
        shares: (C,) expected share of each class among the contrast rows, in [0, 1].
        num_rows: contrast rows of an anchor, without itself, >= 0.
        certain: rows that are positives whatever the class, >= 0.

    Returns:
        (C,) float64.

    Raises:
        ValueError: a number is out of range.
    """
    check_range('num_rows', num_rows, low=0.0)
    check_range('certain', certain, low=0.0)
    shares = shares.double()
    if bool(((shares < 0) | (shares > 1) | shares.isnan()).any()):
        raise ValueError(
            f'shares: expected values in [0, 1], got {shares.min():g} to {shares.max():g}. '
            'Divide the counts by their sum'
        )
    return certain + shares * num_rows


def auto_alpha(positives: Tensor, target: float = CLASSIFICATION.target) -> float:
    """Return the alpha whose product with the positives of the most frequent class is ``target``.

    Args:
        positives: (C,) from :func:`expected_positives`.
        target: alpha |P| of the most frequent class, > 0. At 1 the loss asks for a probability of
            one half for the center of that class, and for nearly one where |P| is small.

    Returns:
        alpha > 0.

    Raises:
        ValueError: ``target`` is out of range, or no class has a positive.

    Example:
        >>> positives = expected_positives(torch.tensor([0.5, 0.3, 0.2]), num_rows=1000)
        >>> auto_alpha(positives, target=1.0)
        0.002
    """
    check_range('target', target, low=0.0, low_open=True)
    most = float(positives.max()) if positives.numel() else 0.0
    if most <= 0:
        raise ValueError(
            f"alpha: expected positives of some class to derive 'auto' from, got |P| = {most}. "
            'Use a queue or two views, or give alpha as a number'
        )
    return target / most


def alpha_products(
    alpha: float, positives: Tensor, groups: Mapping[str, Sequence[int]]
) -> dict[str, GroupProduct]:
    """Return the product alpha |P| by class group; groups without a class are left out.

    Args:
        alpha: weight of one positive.
        positives: (C,) from :func:`expected_positives`.
        groups: name -> class indices, such as head, common and tail.

    Returns:
        name -> smallest, mean and largest product, in the order of ``groups``.
    """
    products = {}
    for name, classes in groups.items():
        if len(classes):
            values = alpha * positives[torch.as_tensor(classes, dtype=torch.long)]
            products[name] = GroupProduct(
                len(classes), float(values.min()), float(values.mean()), float(values.max())
            )
    return products


def alpha_report(alpha: float, products: Mapping[str, GroupProduct]) -> str:
    """Return the products as one line of a log."""
    parts = [
        f'{name} ({group.num_classes} classes) {group.mean:.3g}'
        + (f' [{group.smallest:.3g}, {group.largest:.3g}]' if group.num_classes > 1 else '')
        for name, group in products.items()
    ]
    return f'alpha |P| at alpha={alpha:.4g}, mean [smallest, largest]: ' + ', '.join(parts)


def alpha_warning(
    alpha: float,
    positives: Tensor,
    scale: AlphaScale = CLASSIFICATION,
    key: str = 'alpha',
) -> str | None:
    """Say what to tell a user whose alpha is outside the published range, or None.

    Args:
        alpha: weight of one positive.
        positives: (C,) from :func:`expected_positives`.
        scale: range of alpha |P| of the most frequent class.
        key: config key to name.

    Returns:
        A message ``<key>: expected ..., got ... . <what to change>``, or None inside the range.
    """
    most = float(positives.max())
    product = alpha * most
    low, high = scale.published
    if low <= product <= high:
        return None
    effect = (
        'the frequent classes will be held back far more than in any recipe from scratch'
        if product > high
        else 'the contrast between samples will hardly act'
    )
    # Segmentation starts from a pretrained backbone; its range has no such exception.
    scope = ' but for fine-tuning (up to 33)' if scale == CLASSIFICATION else ''
    return (
        f'{key}: expected alpha |P| of the most frequent class in [{low:g}, {high:g}], the range '
        f'of the published recipes{scope}, got {alpha:g} x {most:.4g} = {product:.3g}: {effect}. '
        f"Set it near {auto_alpha(positives, scale.target):.2g} (alpha='auto' does)"
    )
