"""Accuracy by the number of training images of the class."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS, METRICS
from rich.console import Console
from rich.table import Table

from paco_seg.cls.datasets import image_counts
from paco_seg.cls.evaluation.predicted_label import predicted_label
from paco_seg.core.checks import check_bool, check_count
from paco_seg.core.frequency import (
    SHOT_GROUPS,
    SHOT_THRESHOLDS,
    ClassFrequency,
    check_class_names,
    class_frequency,
    group_classes,
    grouping_warning,
    load_class_frequency,
)

KEY = 'train_counts'


def shot_groups(
    counts: Sequence[int] | np.ndarray,
    many: int = SHOT_THRESHOLDS[0],
    few: int = SHOT_THRESHOLDS[1],
) -> np.ndarray:
    """Return the group of each class: 0 many (> ``many``), 1 medium, 2 few (< ``few``).

    Args:
        counts: training images per class, (C,).
        many: largest count of a medium class (Liu et al., arXiv 1904.05160: 100).
        few: smallest count of a medium class (20).

    Returns:
        (C,) int64, indices into ``('many', 'medium', 'few')``.
    """
    positions = np.empty(len(counts), dtype=np.int64)
    # Counts are integers: more than `many` is at least one more.
    groups = group_classes(counts, many + 1, few, SHOT_GROUPS)
    for position, members in enumerate(groups.values()):
        positions[members] = position
    return positions


def read_train_counts(source: Any) -> np.ndarray:
    """Read training images per class from a list, a JSON file, or a dataset config.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the counts are not a flat list of non-negative integers.
    """
    return _read_frequency(source).counts('images', key=KEY)


def _read_frequency(source: Any) -> ClassFrequency:
    if isinstance(source, str):
        return load_class_frequency(source, KEY)
    if isinstance(source, Mapping) and 'type' in source:
        source = image_counts(DATASETS.build(dict(source)))
    if isinstance(source, Mapping):
        raise ValueError(
            f'{KEY}: expected a list of counts or a dataset config with a type, got the keys '
            f'{sorted(source)}. Write one integer per class'
        )
    return class_frequency(source, KEY)


@METRICS.register_module()
class LongTailAccuracy(BaseMetric):
    """Top-1 accuracy overall and for classes with many, a medium number of, and few images.

    A group's value is the unweighted mean of the accuracies of its classes, in percent; classes
    without test images are left out. A group that is empty then is no part of the result, which a
    warning says once. ``top1`` is the share of correct images; ``class_mean`` the unweighted mean
    over all classes (equal to ``top1`` on a balanced test set).

    Args:
        train_counts: images per class in the *training* set: a list, a JSON file that holds one
            or is a frequency file (:mod:`paco_seg.core.frequency`), or a dataset config, whose
            repeated images count once. Read at construction, on every rank: datasets may
            synchronise.
        many: a class with more images is in the group ``many``.
        few: a class with fewer images is in the group ``few``.
        per_class: log a table of all classes, and return ``accuracy_classwise`` and
            ``train_images_classwise`` (NaN for a class without test images), which
            ``paco-seg test --out FILE.json`` writes.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: prefix of the names.

    Raises:
        ValueError: the thresholds are out of order, the counts malformed, or about other classes
            than the evaluated dataset or the model has.

    Examples:
        >>> val_evaluator = dict(type='LongTailAccuracy', train_counts='data/places_lt/counts.json')
    """

    default_prefix = 'long-tail'

    def __init__(
        self,
        train_counts: Any,
        many: int = SHOT_THRESHOLDS[0],
        few: int = SHOT_THRESHOLDS[1],
        per_class: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_count('many', many)
        check_count('few', few)
        if few > many:
            raise ValueError(f'few: expected <= many ({many}), got {few}. Swap the thresholds')
        self.many = many
        self.few = few
        check_bool('LongTailAccuracy.per_class', per_class)
        self.per_class = per_class
        self.frequency = _read_frequency(train_counts)
        self.train_counts = self.frequency.counts('images', key=KEY)
        self.groups = group_classes(self.train_counts, many + 1, few, SHOT_GROUPS)
        self._warned: set[str] = set()
        warning = grouping_warning(
            self.groups,
            f'{type(self).__name__}.many, few',
            f'Set them between the smallest ({self.train_counts.min()}) and the largest '
            f'({self.train_counts.max()}) count',
        )
        if warning is not None:
            print_log(warning, logger='current', level=logging.WARNING)

    def why_absent(self, name: str) -> str | None:
        """Say why a value can never be part of the result; None if it can.

        Args:
            name: of the value, such as ``'long-tail/few'``.
        """
        group = name.rpartition('/')[2]
        if self.groups.get(group) == []:
            return f'no class is in the group {group!r} (many={self.many}, few={self.few})'
        return None

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
            check_class_names(self.frequency.classes, classes, KEY)
        self._dataset_meta = dataset_meta

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep prediction, label and number of classes of each sample."""
        for sample in data_samples:
            score = sample.get('pred_score')
            pred = predicted_label(sample)
            width = -1 if score is None else len(score)
            self.results.append((pred, int(sample['gt_label']), width))

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

        metrics: dict[str, Any] = dict(
            top1=100 * float(correct.sum() / total.sum()),
            class_mean=float(accuracy[tested].mean()),
        )
        for name, members in self.groups.items():
            known = [c for c in members if tested[c]]
            if known:
                metrics[name] = float(accuracy[known].mean())
            elif members and name not in self._warned:
                self._warned.add(name)
                print_log(
                    f'{type(self).__name__}: no test image of the group {name!r}, whose value is '
                    'left out',
                    logger='current',
                    level=logging.WARNING,
                )
        self._report(counts, total, accuracy, metrics)
        if self.per_class:
            metrics['accuracy_classwise'] = accuracy.tolist()
            metrics['train_images_classwise'] = counts.tolist()
            metrics['group_classwise'] = self._group_of_classes()
        return metrics

    def _check_length(self, num_classes: int, owner: str) -> None:
        if len(self.train_counts) != num_classes:
            raise ValueError(
                f'train_counts: expected {num_classes} counts, one per class of the {owner}, got '
                f'{len(self.train_counts)}. Check that they belong to this data set'
            )

    def _group_of_classes(self) -> list[str]:
        group_of = {c: group for group, members in self.groups.items() for c in members}
        return [group_of[c] for c in range(len(group_of))]

    def _report(self, counts, total, accuracy, metrics) -> None:
        names = (self.dataset_meta or {}).get('classes') or [str(c) for c in range(len(counts))]
        table = Table(title=f'Accuracy by training images (> {self.many}, < {self.few})')
        for column in ('group', 'classes', 'train images', 'test images', 'accuracy'):
            table.add_column(column, justify='left' if column == 'group' else 'right')
        for name, members in self.groups.items():
            table.add_row(
                name,
                str(len(members)),
                str(counts[members].sum()),
                str(total[members].sum()),
                f'{metrics[name]:.2f}' if name in metrics else '-',
            )
        if self.per_class:
            table.add_section()
            group_of = self._group_of_classes()
            for c, name in enumerate(names):
                table.add_row(
                    f'{group_of[c]}: {name}',
                    str(c),
                    str(counts[c]),
                    str(total[c]),
                    f'{accuracy[c]:.2f}',
                )
        console = Console(width=100, markup=False)  # names of classes are no markup
        with console.capture() as capture:
            console.print(table, end='')
        print_log('\n' + capture.get(), logger='current')
