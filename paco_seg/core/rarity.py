"""Rare, common and frequent classes by rank, and how unequal the classes of a training set are.

The long-tail segmentation benchmark reports the mean IoU of three groups twice: once with the
classes ranked by the training images that contain them, once by their training pixels. A class that
fills many pixels of few images, or few pixels of many, is rare in one sense alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paco_seg.core.checks import check_range

# Groups of the benchmark, and the shares of the classes, by rising count, at which they end.
RARITY_GROUPS = ('rare', 'common', 'frequent')
RARITY_SHARES = (0.2, 0.4)


def rarity_groups(
    counts: npt.ArrayLike, shares: tuple[float, float] = RARITY_SHARES
) -> dict[str, list[int]]:
    """Group the classes by rank: the rarest fifth, the next fifth, the rest.

    The classes at the ranks ``floor(share * C)`` of the rising counts give two bounds; a class
    below the first is rare, below the second common. Classes of the same count are in the same
    group, so that the groups may be a little smaller than their shares, and empty where all counts
    agree.

    Args:
        counts: (C,) training images or pixels of each class, >= 0.
        shares: where rare and common end, 0 < rare <= common < 1.

    Returns:
        group -> class indices by falling count (ties by index); together all classes.

    Raises:
        ValueError: the shares are out of range, or there are no classes.
    """
    first, second = shares
    check_range('shares[1]', second, low=0.0, high=1.0 - 1e-9, low_open=True)
    check_range('shares[0]', first, low=0.0, high=second, low_open=True)
    array = np.asarray(counts)
    if array.ndim != 1 or not len(array):
        raise ValueError(f'counts: expected one count per class, got shape {array.shape}')
    rising = np.sort(array)
    # The small number guards products such as 0.2 * 15, which is below 3 in binary.
    bounds = [rising[int(np.floor(share * len(array) + 1e-9))] for share in (first, second)]
    groups: dict[str, list[int]] = {name: [] for name in RARITY_GROUPS}
    for index in np.argsort(-array.astype(np.float64), kind='stable').tolist():
        place = 0 if array[index] < bounds[0] else 1 if array[index] < bounds[1] else 2
        groups[RARITY_GROUPS[place]].append(index)
    return groups


def gini_index(counts: npt.ArrayLike) -> float:
    """Return the Gini index of class counts: 0 = all alike, (C - 1) / C = one class has all.

    With the counts in rising order and their cumulative sums S_c,
    ``(C + 1 - 2 sum_c S_c / S_C) / C``, which is the mean absolute difference of two classes over
    twice the mean count.

    Args:
        counts: (C,) training images or pixels of each class, >= 0 and not all 0.

    Returns:
        A number in [0, 1).

    Raises:
        ValueError: a count is negative, or all are 0.
    """
    rising = np.sort(np.asarray(counts, dtype=np.float64))
    if rising.ndim != 1 or not len(rising) or rising[0] < 0 or rising[-1] == 0:
        raise ValueError('counts: expected counts >= 0 that are not all 0. Count the training set')
    sums = rising.cumsum()
    number = len(rising)
    return float((number + 1 - 2 * (sums / sums[-1]).sum()) / number)
