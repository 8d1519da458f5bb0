"""Rare classes pasted from earlier crops into crops that lack them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmseg.registry import DATASETS
from torch import Tensor

from paco_seg.core.checks import check_count, check_range
from paco_seg.core.frequency import check_classes, load_class_frequency

KEY = 'train_dataloader.dataset'
TAIL = 7 / 19  # of the classes of Cityscapes are tail in the released config


@dataclass
class Patch:
    """Pixels of one class of a crop, in the box around them.

    Attributes:
        image: (3, h, w), a copy.
        mask: (h, w) bool, the pixels of the class.
        top: first row of the box in the crop.
        left: first column of the box in the crop.
        size: height and width of the crop.
    """

    image: Tensor
    mask: Tensor
    top: int
    left: int
    size: tuple[int, int]


@DATASETS.register_module()
class TailMemoryDataset:
    """Tail memory bank of AUCSeg (arXiv 2409.20398) around any data set.

    Keeps some crops of each tail class. Into a crop it pastes, for some of the tail classes that it
    lacks, a kept one at random: image and label, smaller by ``resize`` and at a random place of the
    crop. Each worker of the loader has a bank of its own, which starts empty, also after a resume:
    with it a resumed training is a valid one, not bit for bit the uninterrupted one. Workers that
    do not persist start anew in every epoch: a loop of epochs wants ``persistent_workers=True``. ::

        dataset=dict(type='TailMemoryDataset', frequency_file='frequency.json', dataset=dict(...))

    The bank keeps copies: the released one keeps the crops themselves, into which it pastes later.
    It also keeps the box around a class instead of the whole crop.

    Args:
        dataset: config of the data set; its pipeline packs ``inputs`` (3, H, W) and
            ``data_samples`` with ``gt_sem_seg``.
        frequency_file: JSON file of ``paco-seg statistics`` with pixel counts; not needed with
            ``tail_classes``.
        tail_classes: labels of the tail classes; None = by ``tail_share``.
        tail_share: share of the training pixels below which a class is tail, in (0, 1); None = the
            rarest 7 of 19 classes, rounded up, as many as on Cityscapes in the released config.
        per_class: crops kept of each class; a new one replaces one at random.
        sample_share: share of the absent tail classes that are pasted, rounded up, in [0, 1].
        resize: factor of the size of what is pasted, in (0, 1]; 1 pastes at the same place.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        ValueError: a setting is out of range, or the file is of another data set.
    """

    def __init__(
        self,
        *,
        dataset: dict,
        frequency_file: str | None = None,
        tail_classes: Sequence[int] | None = None,
        tail_share: float | None = None,
        per_class: int = 5,
        sample_share: float = 1.0,
        resize: float = 1.0,
        lazy_init: bool = False,
    ) -> None:
        if tail_share is not None:
            check_range(f'{KEY}.tail_share', tail_share, low=0.0, high=1.0, low_open=True)
        check_count(f'{KEY}.per_class', per_class, low=1)
        check_range(f'{KEY}.sample_share', sample_share, low=0.0, high=1.0)
        check_range(f'{KEY}.resize', resize, low=0.0, high=1.0, low_open=True)
        self.dataset = DATASETS.build(dataset)
        self.per_class = per_class
        self.sample_share = sample_share
        self.resize = resize
        classes = self.metainfo['classes']
        self.tail = _tail(classes, frequency_file, tail_classes, tail_share)
        self._bank: dict[int, list[Patch]] = {label: [] for label in self.tail}
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Classes and palette."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the list of the data set."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """Return what the data set knows about its image of that index."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the item of the data set with what was pasted into it."""
        sample = self.dataset[index]
        image, labels = sample['inputs'], sample['data_samples'].gt_sem_seg.data[0]
        present = [label for label in self.tail if bool((labels == label).any())]
        # What the crop shows itself is kept, not what was pasted before.
        for label in present:
            self._keep(label, image, labels)
        self._paste(present, image, labels)
        return sample

    def _keep(self, label: int, image: Tensor, labels: Tensor) -> None:
        mask = labels == label
        top, bottom = _ends(mask.any(dim=1))
        left, right = _ends(mask.any(dim=0))
        height, width = labels.shape
        patch = Patch(
            image[:, top:bottom, left:right].clone(),
            mask[top:bottom, left:right].clone(),
            top,
            left,
            (height, width),
        )
        kept = self._bank[label]
        if len(kept) < self.per_class:
            kept.append(patch)
        else:
            kept[_below(len(kept))] = patch

    def _paste(self, present: Sequence[int], image: Tensor, labels: Tensor) -> None:
        absent = [label for label in self.tail if label not in present]
        number = math.ceil(self.sample_share * len(absent))
        # NumPy's global generator, which MMEngine seeds in every worker, as transforms use it.
        drawn = np.random.permutation(len(absent))[:number]  # noqa: NPY002
        for label in (absent[place] for place in drawn):
            kept = self._bank[label]
            if kept:
                _insert(kept[_below(len(kept))], label, self.resize, image, labels)


def _insert(patch: Patch, label: int, factor: float, image: Tensor, labels: Tensor) -> None:
    """Paste a patch into a crop, at a random place for its crop made smaller by the factor."""
    height, width = labels.shape
    whole = [max(1, round(side * factor)) for side in patch.size]
    size = [max(1, round(side * factor)) for side in patch.mask.shape]
    top, left = (
        _below(max(side - inner, 0) + 1) + round(start * factor)
        for side, inner, start in zip((height, width), whole, (patch.top, patch.left), strict=True)
    )
    if top >= height or left >= width:  # of a larger crop than this one, and beyond it
        return
    pixels, mask = patch.image, patch.mask
    if size != list(mask.shape):
        resized = F.interpolate(
            pixels[None].float(), size=size, mode='bilinear', align_corners=False
        )[0]
        pixels = resized.round().to(image.dtype) if not image.is_floating_point() else resized
        mask = F.interpolate(mask[None, None].float(), size=size, mode='nearest')[0, 0] > 0
    bottom, right = min(top + size[0], height), min(left + size[1], width)
    mask = mask[: bottom - top, : right - left]
    pixels = pixels[:, : bottom - top, : right - left].to(image.dtype)
    image[:, top:bottom, left:right] = torch.where(mask, pixels, image[:, top:bottom, left:right])
    labels[top:bottom, left:right].masked_fill_(mask, label)


def _ends(found: Tensor) -> tuple[int, int]:
    places = found.nonzero()
    return int(places[0]), int(places[-1]) + 1


def _below(number: int) -> int:
    return int(np.random.randint(number))  # noqa: NPY002


def _tail(
    classes: Sequence[str],
    frequency_file: str | None,
    given: Sequence[int] | None,
    share: float | None,
) -> list[int]:
    """List the labels of the tail classes.

    Raises:
        ValueError: they are no classes of the data set, or nothing tells which they are.
    """
    if given is not None:
        if any(not 0 <= label < len(classes) for label in given):
            raise ValueError(
                f'{KEY}.tail_classes: expected labels in [0, {len(classes)}), got {list(given)}. '
                'Name classes of the data set'
            )
        return sorted({int(label) for label in given})
    if frequency_file is None:
        raise ValueError(
            f'{KEY}.frequency_file: expected the class frequencies or tail_classes, got neither. '
            'Write the file with `paco-seg statistics CONFIG`'
        )
    key = f'{KEY}.frequency_file'
    frequency = load_class_frequency(frequency_file, key)
    check_classes(frequency, classes, key)
    shares = frequency.shares('pixels', key=key).tolist()
    if share is None:
        rarest = sorted(range(len(shares)), key=lambda label: shares[label])
        return sorted(rarest[: math.ceil(len(shares) * TAIL)])
    return [label for label, own in enumerate(shares) if own < share]
