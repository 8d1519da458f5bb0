"""A part of a training set to set aside: every class in it where it can be, and none lost by it.

Settings that are chosen on the data that are reported make every difference look larger than it
is. Where a config has no third split, part of the training set becomes one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

SHARE = 0.1  # of the training samples
_CONSIDERED = 256  # samples of a class that are compared for each choice


def choose_held_out(
    classes_of: Sequence[Sequence[int]], *, share: float = SHARE, seed: int = 0
) -> list[int]:
    """Choose samples to set aside, rare classes first.

    Each class that at least two samples show wants its share of them, one at least. The class with
    the fewest samples comes first and takes the sample that serves most classes that still want
    some; ties are drawn. No class loses its last training sample. What is missing to the share of
    all samples is drawn from the rest.

    Args:
        classes_of: the classes of each sample, without repetition: one in classification, those in
            the label map in segmentation; none for a sample without labels.
        share: of the samples, above 0 and at most .5.
        seed: of the draws; the same list and seed give the same choice.

    Returns:
        Indices, ascending. More than the share only where the classes ask for it.

    Raises:
        ValueError: the share is out of range, there are fewer than two samples, or each holds the
            last ones of a class.
    """
    if not 0 < share <= 0.5:
        raise ValueError(f'share: expected a number above 0, at most 0.5, got {share}')
    if len(classes_of) < 2:
        raise ValueError(
            f'train_dataloader.dataset: expected at least 2 samples, of which some can be set '
            f'aside, got {len(classes_of)}. Give the config a validation and a test split'
        )
    generator = random.Random(seed)
    left: dict[int, int] = {}
    samples: dict[int, list[int]] = {}
    for index, classes in enumerate(classes_of):
        for label in classes:
            left[label] = left.get(label, 0) + 1
            samples.setdefault(label, []).append(index)
    wanted = {
        label: max(1, round(share * number)) if number > 1 else 0 for label, number in left.items()
    }
    chosen: set[int] = set()

    def take(index: int) -> None:
        chosen.add(index)
        for label in classes_of[index]:
            left[label] -= 1
            wanted[label] -= 1

    def can_go(index: int) -> bool:
        return index not in chosen and all(left[label] > 1 for label in classes_of[index])

    for label in sorted(samples, key=lambda label: (len(samples[label]), label)):
        generator.shuffle(samples[label])
        waiting = samples[label]
        while wanted[label] > 0:
            waiting = [index for index in waiting if can_go(index)]
            if not waiting:
                break
            take(
                max(
                    waiting[:_CONSIDERED],
                    key=lambda index: sum(wanted[other] > 0 for other in classes_of[index]),
                )
            )
    rest = [index for index in range(len(classes_of)) if index not in chosen]
    generator.shuffle(rest)
    missing = max(1, round(share * len(classes_of))) - len(chosen)
    for index in rest:
        if missing <= 0:
            break
        if can_go(index):
            take(index)
            missing -= 1
    if not chosen:
        raise ValueError(
            f'train_dataloader.dataset: expected samples that can be set aside, got '
            f'{len(classes_of)} of which each is the last one of a class. Give the config a '
            'validation and a test split'
        )
    return sorted(chosen)
