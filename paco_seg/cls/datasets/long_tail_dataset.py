"""Long-tailed version of a balanced classification dataset."""

from __future__ import annotations

import copy
from numbers import Integral, Real
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from paco_seg.cls.datasets.class_labels import class_counts

IMBALANCE_TYPES = ('exp', 'step')


def long_tail_counts(
    num_classes: int, max_count: float, imbalance_factor: float, imbalance_type: str = 'exp'
) -> np.ndarray:
    """Images per class of the long-tailed profile of Cao et al. (arXiv 1906.07413, section 4).

    ``'exp'``: ``int(max_count * imbalance_factor ** (c / (C - 1)))`` for class c; ``'step'``: the
    first half of the classes is full, the second half has ``int(max_count * imbalance_factor)``.

    Args:
        num_classes: C, at least 2.
        max_count: images of the largest class; a fraction is allowed and cut off last.
        imbalance_factor: size of the smallest class relative to the largest, in (0, 1].
        imbalance_type: ``'exp'`` or ``'step'``.

    Returns:
        (C,) int64.

    Raises:
        ValueError: a setting is out of range, or a class would get no image.
    """
    _check_profile(imbalance_factor, imbalance_type)
    if num_classes < 2:
        raise ValueError(f'num_classes: expected >= 2, got {num_classes}')
    # Python floats, not NumPy arrays: the truncation of the published splits depends on the last
    # bit of the power.
    if imbalance_type == 'exp':
        counts = [
            int(max_count * imbalance_factor ** (c / (num_classes - 1.0)))
            for c in range(num_classes)
        ]
    else:
        half = num_classes // 2
        tail = int(max_count * imbalance_factor)
        counts = [int(max_count)] * half + [tail] * (num_classes - half)
    if min(counts) < 1:
        raise ValueError(
            f'imbalance_factor: expected at least one image per class, got {imbalance_factor!r} of '
            f'{max_count:g} images. Use a larger factor'
        )
    return np.array(counts, dtype=np.int64)


def _check_profile(imbalance_factor: float, imbalance_type: str) -> None:
    if imbalance_type not in IMBALANCE_TYPES:
        raise ValueError(
            f'imbalance_type: expected one of {IMBALANCE_TYPES}, got {imbalance_type!r}'
        )
    is_number = isinstance(imbalance_factor, Real) and not isinstance(imbalance_factor, bool)
    if not is_number or not 0 < imbalance_factor <= 1:
        raise ValueError(
            f'imbalance_factor: expected a value in (0, 1], got {imbalance_factor!r}. It is the '
            'smallest class divided by the largest: an imbalance ratio of 100 is 0.01'
        )


@DATASETS.register_module()
class LongTailDataset:
    """Keeps a long-tailed subset of a dataset (CIFAR-10-LT, CIFAR-100-LT and the like).

    The images kept are those of the published CIFAR-LT splits: a legacy NumPy generator is seeded
    once; for each class in ascending order, the positions of the class in the original training
    order are shuffled in full and the first ``n_c`` are kept. Subsets of one seed are therefore
    nested over the imbalance factors. The result is ordered class by class.

    Like :class:`mmengine.dataset.ClassBalancedDataset` it is a wrapper, not a ``BaseDataset``.

    Args:
        dataset: an MMPretrain dataset or its config.
        imbalance_factor: smallest class divided by the largest, in (0, 1].
        imbalance_type: ``'exp'`` or ``'step'``, see :func:`long_tail_counts`.
        max_count: images of the largest class. By default the number of images divided by the
            number of classes, which is the class size of a balanced dataset.
        seed: seed of the selection. 0 gives the published splits.
        lazy_init: do not read the annotations yet.

    Raises:
        TypeError: the dataset is a wrapper.
        ValueError: a setting is out of range, or a class has fewer images than the profile asks
            for (names the classes).

    Examples:
        >>> train_dataloader = dict(dataset=dict(
        ...     type='LongTailDataset', imbalance_factor=0.01,
        ...     dataset=dict(type='CIFAR100', data_root='data/cifar100', split='train',
        ...                  pipeline=[...])))
    """

    def __init__(
        self,
        dataset: Any,
        imbalance_factor: float,
        imbalance_type: str = 'exp',
        max_count: int | None = None,
        seed: int = 0,
        lazy_init: bool = False,
    ):
        # Before the dataset is read, which may take long.
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ValueError(
                f'seed: expected a whole number in [0, 2**32), got {seed!r}. 0 gives the published '
                'splits'
            )
        _check_profile(imbalance_factor, imbalance_type)
        whole = isinstance(max_count, Integral) and not isinstance(max_count, bool)
        if max_count is not None and not (whole and 1 <= max_count < 2**63):
            raise ValueError(
                f'max_count: expected the images of the largest class, a whole number >= 1, got '
                f'{max_count!r}. Leave it out for the class size of a balanced dataset'
            )
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if not hasattr(self.dataset, 'prepare_data'):
            raise TypeError(
                'train_dataloader.dataset.dataset: expected a data set of MMPretrain, whose images '
                f'are drawn, got the wrapper {type(self.dataset).__name__}. Put LongTailDataset '
                'inside of it'
            )
        self.imbalance_factor = imbalance_factor
        self.imbalance_type = imbalance_type
        self.max_count = max_count
        self.seed = seed
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Copy of the meta information of the wrapped dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """Read the annotations and select the images."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        available = class_counts(self.dataset)
        labels = np.asarray(self.dataset.get_gt_labels())
        max_count = len(labels) / len(available) if self.max_count is None else self.max_count
        counts = long_tail_counts(
            len(available), max_count, self.imbalance_factor, self.imbalance_type
        )
        short = np.flatnonzero(available < counts)
        if short.size:
            listed = ', '.join(f'{c} ({available[c]} < {counts[c]})' for c in short[:10])
            raise ValueError(
                f'max_count: expected classes of at least the asked size, got too few images in '
                f'{short.size} classes: {listed}. Set max_count={available.min()} or less'
            )
        rng = np.random.RandomState(self.seed)
        kept = []
        for label, count in enumerate(counts):
            positions = np.flatnonzero(labels == label)
            rng.shuffle(positions)
            kept.append(positions[:count])
        self.indices = np.concatenate(kept)
        self._labels = labels[self.indices].astype(np.int64)
        self._fully_initialized = True

    def get_gt_labels(self) -> np.ndarray:
        """Labels of all kept images, (N,) int64, ascending."""
        self.full_init()
        return self._labels.copy()

    def get_cat_ids(self, idx: int) -> list[int]:
        """Class of the idx-th kept image, as a list of one."""
        self.full_init()
        return [int(self._labels[idx])]

    def get_data_info(self, idx: int) -> dict:
        """Annotation of the idx-th kept image."""
        self.full_init()
        return self.dataset.get_data_info(int(self.indices[idx]))

    def __getitem__(self, idx: int) -> Any:
        """Sample idx after the pipeline of the wrapped dataset."""
        self.full_init()
        # The wrapped dataset draws another image of its own when a training image cannot be
        # read, which may be one that was left out: refuse instead of leaking it.
        data = self.dataset.prepare_data(int(self.indices[idx]))
        if data is None:
            raise RuntimeError(
                f'{type(self.dataset).__name__}: expected a sample, got None from the pipeline for '
                f'index {int(self.indices[idx])}. Check the image file and the transforms'
            )
        return data

    def __len__(self) -> int:
        """Number of kept images."""
        self.full_init()
        return len(self.indices)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(imbalance_type={self.imbalance_type!r}, '
            f'imbalance_factor={self.imbalance_factor}, seed={self.seed})\n{self.dataset!r}'
        )
