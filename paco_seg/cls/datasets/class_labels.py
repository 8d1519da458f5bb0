"""Training images per class of any MMPretrain dataset or wrapper of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.dataset import ClassBalancedDataset, RepeatDataset


class SeveralLabelsError(ValueError):
    """The images of a data set do not have one class each."""


def class_labels(dataset: Any) -> np.ndarray:
    """Return the label of every image of one pass over ``dataset``, (N,) int64, in its order.

    Wrappers are looked through: the parts of a ``ConcatDataset`` follow each other, the labels of
    a ``RepeatDataset`` are repeated as often as its images.

    Args:
        dataset: as for :func:`class_counts`.

    Raises:
        TypeError: the dataset has no labels to read.
        SeveralLabelsError: an image has several labels, or none.
    """
    if hasattr(dataset, 'get_gt_labels'):
        return _one_per_image(dataset.get_gt_labels, dataset)
    if hasattr(dataset, 'datasets'):  # ConcatDataset, that of PyTorch too
        return np.concatenate([class_labels(part) for part in dataset.datasets])
    if isinstance(dataset, RepeatDataset):
        return np.tile(class_labels(dataset.dataset), dataset.times)
    if hasattr(dataset, 'get_cat_ids'):
        return _one_per_image(lambda: list(map(dataset.get_cat_ids, range(len(dataset)))), dataset)
    raise TypeError(
        f'dataset: expected get_gt_labels() or get_cat_ids(idx), got {type(dataset).__name__} '
        'with neither. Wrap an MMPretrain dataset'
    )


def image_counts(dataset: Any, num_classes: int | None = None) -> np.ndarray:
    """Count the images per class that ``dataset`` holds, each once however often it is repeated.

    Groups such as few-shot classes are about these. Arguments, result and errors are those of
    :func:`class_counts`.
    """
    if isinstance(dataset, (RepeatDataset, ClassBalancedDataset)):
        return image_counts(dataset.dataset, num_classes)
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        return np.sum([image_counts(part, num_classes) for part in dataset.datasets], axis=0)
    return class_counts(dataset, num_classes)


def class_counts(dataset: Any, num_classes: int | None = None) -> np.ndarray:
    """Count the images per class that one pass over ``dataset`` delivers.

    A dataset without wrapper and :class:`LongTailDataset` therefore give the counts of the
    training list; :class:`mmengine.dataset.ClassBalancedDataset` gives the counts after
    repetition, which is the class distribution that the model is trained on.

    Args:
        dataset: an instance with ``get_gt_labels()`` (MMPretrain datasets) or ``get_cat_ids(idx)``
            (``ClassBalancedDataset``), or a ``ConcatDataset`` or ``RepeatDataset`` of such.
        num_classes: length of the result. By default the number of ``metainfo['classes']``.

    Returns:
        (num_classes,) int64.

    Raises:
        TypeError: the dataset has no labels to read.
        SeveralLabelsError: an image has several labels, or none.
        ValueError: a label is outside ``[0, num_classes)``, or the number of classes is unknown.
    """
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        return np.sum([class_counts(part, num_classes) for part in dataset.datasets], axis=0)
    name = type(dataset).__name__
    labels = class_labels(dataset)
    if num_classes is None:
        classes = dataset.metainfo.get('classes')
        if classes is None:
            raise ValueError(
                f"dataset: expected metainfo['classes'], got none in {name}. "
                'Add metainfo=dict(classes=[...]) or pass num_classes'
            )
        num_classes = len(classes)
    outside = np.unique(labels[(labels < 0) | (labels >= num_classes)])
    if outside.size:
        raise ValueError(
            f'dataset: expected labels in [0, {num_classes}), got {outside[:5].tolist()} in '
            f'{name}. Check num_classes and the annotation file'
        )
    return np.bincount(labels, minlength=num_classes)


def _one_per_image(read: Callable[[], Any], dataset: Any) -> np.ndarray:
    try:
        labels = np.asarray(read())
    except ValueError:  # NumPy, of lists of unequal lengths
        labels = np.empty((0, 0))
    if labels.ndim == 2 and labels.shape[1] == 1:  # lists of one
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise SeveralLabelsError(
            'train_dataloader.dataset: expected one class index per image, got several labels or '
            f'none for images of {type(dataset).__name__} (multi-label data). Use a data set with '
            'one label per image'
        )
    return labels.astype(np.int64)
