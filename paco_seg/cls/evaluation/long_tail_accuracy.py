"""Accuracy by the number of training images of the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.fileio import load
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS, METRICS
from rich.console import Console
from rich.table import Table

from paco_seg.cls.datasets import class_counts

SHOT_GROUPS = ('many', 'medium', 'few')


def shot_groups(counts: Sequence[int] | np.ndarray, many: int = 100, few: int = 20) -> np.ndarray:
    """Group of each class: 0 many (> ``many``), 1 medium (``few``..``many``), 2 few (< ``few``).

    Args:
        counts: training images per class, (C,).
        many: largest count of a medium class (Liu et al., arXiv 1904.05160: 100).
        few: smallest count of a medium class (20).

    Returns:
        (C,) int64, indices into ``('many', 'medium', 'few')``.
    """
    values = np.asarray(counts)
    return np.where(values > many, 0, np.where(values < few, 2, 1))


def read_train_counts(source: Any) -> np.ndarray:
    """Training images per class from a list, a JSON file with a list, or a dataset config.

    Raises:
        ValueError: the counts are not a flat list of non-negative integers.
    """
    name = 'train_counts'
    if isinstance(source, str):
        name, source = f'train_counts ({source})', load(source)
    if isinstance(source, Mapping) and 'type' in source:
        config = dict(source)
        return class_counts(DATASETS.build(config))
    if isinstance(source, Mapping):
        raise ValueError(
            f'{name}: expected a list of counts or a dataset config with a type, got the keys '
            f'{sorted(source)}. Write one integer per class'
        )
    counts = np.asarray(source)
    if counts.ndim != 1 or counts.dtype.kind not in 'iu' or (counts < 0).any():
        raise ValueError(
            f'{name}: expected a flat list of non-negative integers, got shape {counts.shape} of '
            f'{counts.dtype}. Write one integer per class'
        )
    return counts


@METRICS.register_module()
class LongTailAccuracy(BaseMetric):
    """Top-1 accuracy overall and for classes with many, a medium number of, and few images.

    A group's value is the unweighted mean of the accuracies of its classes, in percent; classes
    without test images are left out, and a group without classes reports 0. ``top1`` is the share
    of correct images; ``class_mean`` the unweighted mean over all classes (equal to ``top1`` on a
    balanced test set).

    Args:
        train_counts: images per class in the *training* set: a list, a JSON file that holds one,
            or a dataset config. Read at construction, on every rank: datasets may synchronise.
        many: a class with more images is in the group ``many``.
        few: a class with fewer images is in the group ``few``.
        per_class: log a table of all classes, and return ``accuracy_classwise`` and
            ``train_images_classwise`` (NaN for a class without test images), which
            ``tools/test.py --out FILE.json`` writes.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: prefix of the names.

    Raises:
        ValueError: the thresholds are out of order, the counts malformed, or their number differs
            from the number of classes of the evaluated dataset or of the model.

    Examples:
        >>> val_evaluator = dict(type='LongTailAccuracy', train_counts='data/places_lt/counts.json')
    """

    default_prefix = 'long-tail'

    def __init__(
        self,
        train_counts: Any,
        many: int = 100,
        few: int = 20,
        per_class: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if few > many:
            raise ValueError(f'few: expected <= many ({many}), got {few}. Swap the thresholds')
        self.many = many
        self.few = few
        self.per_class = per_class
        self.train_counts = read_train_counts(train_counts)

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the evaluated dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        # The loop of the evaluation sets it when it is built: ahead of the first training step.
        classes = dataset_meta.get('classes')
        if classes is not None:
            self._check_length(len(classes), 'evaluated dataset')
        self._dataset_meta = dataset_meta

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep prediction, label and number of classes of each sample."""
        for sample in data_samples:
            score = sample.get('pred_score')
            pred = sample['pred_label'] if score is None else score.argmax()
            width = -1 if score is None else len(score)
            self.results.append((int(pred), int(sample['gt_label']), width))

    def compute_metrics(self, results: list) -> dict[str, Any]:
        """Reduce the samples of all ranks."""
        counts = self.train_counts
        pred, label, width = np.asarray(results, dtype=np.int64).T
        num_classes = len(counts)
        if width[0] >= 0:
            self._check_length(width[0], 'model')
        if label.max() >= num_classes:
            self._check_length(label.max() + 1, 'evaluated dataset')
        total = np.bincount(label, minlength=num_classes)
        correct = np.bincount(label[pred == label], minlength=num_classes)
        tested = total > 0
        accuracy = np.full(num_classes, np.nan)
        accuracy[tested] = 100 * correct[tested] / total[tested]
        groups = shot_groups(counts, self.many, self.few)

        metrics: dict[str, Any] = dict(
            top1=100 * float(correct.sum() / total.sum()),
            class_mean=float(accuracy[tested].mean()),
        )
        for index, name in enumerate(SHOT_GROUPS):
            members = tested & (groups == index)
            metrics[name] = float(accuracy[members].mean()) if members.any() else 0.0
        self._report(counts, total, accuracy, groups, metrics)
        if self.per_class:
            metrics['accuracy_classwise'] = accuracy.tolist()
            metrics['train_images_classwise'] = counts.tolist()
            metrics['group_classwise'] = [SHOT_GROUPS[group] for group in groups]
        return metrics

    def _check_length(self, num_classes: int, owner: str) -> None:
        if len(self.train_counts) != num_classes:
            raise ValueError(
                f'train_counts: expected {num_classes} counts, one per class of the {owner}, got '
                f'{len(self.train_counts)}. Check that they belong to this data set'
            )

    def _report(self, counts, total, accuracy, groups, metrics) -> None:
        names = (self.dataset_meta or {}).get('classes') or [str(c) for c in range(len(counts))]
        table = Table(title=f'Accuracy by training images (> {self.many}, < {self.few})')
        for column in ('group', 'classes', 'train images', 'test images', 'accuracy'):
            table.add_column(column, justify='left' if column == 'group' else 'right')
        for index, name in enumerate(SHOT_GROUPS):
            members = groups == index
            table.add_row(
                name,
                str(members.sum()),
                str(counts[members].sum()),
                str(total[members].sum()),
                f'{metrics[name]:.2f}',
            )
        if self.per_class:
            table.add_section()
            for c, name in enumerate(names):
                table.add_row(
                    f'{SHOT_GROUPS[groups[c]]}: {name}',
                    str(c),
                    str(counts[c]),
                    str(total[c]),
                    f'{accuracy[c]:.2f}',
                )
        console = Console(width=100)
        with console.capture() as capture:
            console.print(table, end='')
        print_log('\n' + capture.get(), logger='current')
