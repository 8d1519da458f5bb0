"""IoU of the head, common and tail classes beside everything ``IoUMetric`` reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image
from prettytable import PrettyTable

from paco_seg.core.checks import check_bool, check_choice
from paco_seg.core.frequency import (
    GROUP_THRESHOLDS,
    check_classes,
    check_thresholds,
    grouping_warning,
    load_class_frequency,
)
from paco_seg.core.rarity import gini_index, rarity_groups
from paco_seg.engine.signatures import named_arguments
from paco_seg.files import written_aside

KEY = 'LongTailIoUMetric'


@METRICS.register_module()
class LongTailIoUMetric(IoUMetric):
    """``IoUMetric`` plus the means of class groups by training frequency.

    Adds ``mIoU_head``, ``mIoU_common``, ``mIoU_tail`` (the same for ``mAcc`` and for whatever else
    ``iou_metrics`` asks for; a group without classes is left out, which a warning says once) and
    prints the per-class table sorted by frequency. A class that occurs neither in the ground truth
    nor in the predictions counts in no mean, as in ``IoUMetric``.

    With ``dual_metric`` the groups of the long-tail segmentation benchmark stand beside them: the
    rarest fifth of the classes, the next fifth and the rest, once by training images
    (``mIoU_rare_images``, ``mIoU_common_images``, ``mIoU_frequent_images``) and once by training
    pixels (``..._pixels``), and the Gini index of either count (``gini_images``, ``gini_pixels``,
    in [0, 1)). The benchmark ranks pixels by the sum of their shares in each image, which differs
    where images differ in size. ::

        val_evaluator = dict(
            type='LongTailIoUMetric', iou_metrics=['mIoU'],
            frequency_file='data/ade20k_frequency.json')

    Args:
        frequency_file: JSON file of ``paco-seg statistics`` (see
            :mod:`paco_seg.core.frequency`); its classes have to be those of the dataset.
        group_by: what the groups go by: 'images' (share of the training images that contain the
            class) or 'pixels' (share of all labelled training pixels). Where most classes are in
            most images, as in street scenes, only pixels tell them apart.
        group_thresholds: (head, tail), two descending shares in (0, 1]: a class is head from the
            first on, tail below the second, common between them. None: (0.1, 0.01) of the images,
            (0.01, 0.001) of the pixels.
        per_class: also return the per-class values as one entry ``per_class`` (a dict of lists in
            label order: class, group, images, pixels, IoU, Acc, ...; percentages, None where
            undefined). It is no scalar, so loggers and visualizers that follow scalars leave it
            alone, and it can be dumped to JSON as it is.
        dual_metric: also report the groups by rank and the Gini index; what the frequency file does
            not count is left out. In ``per_class`` they are ``rarity_images`` and
            ``rarity_pixels``.
        **kwargs: as ``IoUMetric``. Predictions that ``output_dir`` asks for are 16-bit PNG where a
            byte does not hold the classes.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        TypeError: an argument is unknown.
        ValueError: it is unreadable or about other classes, or a group setting is out of range.
    """

    output_dir: str | None

    def __init__(
        self,
        *args: Any,
        frequency_file: str,
        group_by: str = 'images',
        group_thresholds: Sequence[float] | None = None,
        per_class: bool = True,
        dual_metric: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_arguments(kwargs)
        check_bool(f'{KEY}.dual_metric', dual_metric)
        super().__init__(*args, **kwargs)
        self.frequency = load_class_frequency(frequency_file, f'{KEY}.frequency_file')
        if group_thresholds is not None:
            check_thresholds(group_thresholds, f'{KEY}.group_thresholds')
        check_choice(f'{KEY}.group_by', group_by, tuple(GROUP_THRESHOLDS))
        self.shares = self.frequency.shares(group_by, key=f'{KEY}.group_by')
        self.groups = self.frequency.groups(group_by, group_thresholds)
        check_bool(f'{KEY}.per_class', per_class)
        self.per_class = per_class
        counted = [by for by in GROUP_THRESHOLDS if getattr(self.frequency, by) is not None]
        # count -> group -> classes, by falling count
        self.rarity = {
            by: rarity_groups(self.frequency.counts(by)) for by in counted if dual_metric
        }
        bounds = GROUP_THRESHOLDS[group_by] if group_thresholds is None else group_thresholds
        other = next(name for name in GROUP_THRESHOLDS if name != group_by)
        warning = grouping_warning(
            self.groups,
            f'{KEY}.group_by={group_by!r}, group_thresholds={tuple(bounds)}',
            f'Set group_by={other!r}, or thresholds between the smallest ({self.shares.min():.3g}) '
            f'and the largest ({self.shares.max():.3g}) share',
        )
        if warning is not None:
            print_log(warning, logger='current', level=logging.WARNING)

    def why_absent(self, name: str) -> str | None:
        """Say why a value can never be part of the result; None if it can.

        Args:
            name: of the value, such as ``'mIoU_tail'``.
        """
        *_, rarity, group = ['', *name.split('_')]
        if self.rarity.get(group, {}).get(rarity) == []:
            return f'all classes have about as many training {group}: none is {rarity!r}'
        if self.groups.get(group) == []:
            sizes = ', '.join(f'{name} {len(members)}' for name, members in self.groups.items())
            return f'no class is in the group {group!r} ({sizes})'
        return None

    @IoUMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta of the evaluated dataset; set before the first step, so errors come early."""
        check_classes(self.frequency, dataset_meta['classes'], f'{KEY}.frequency_file')
        self._dataset_meta = dataset_meta

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the areas of one batch, and write its predictions if they are asked for."""
        folder = self.output_dir
        if folder is None or len(self.dataset_meta['classes']) < 256:
            super().process(data_batch, data_samples)
            return
        try:
            self.output_dir = None  # the stock file would hold the labels modulo 256
            super().process(data_batch, data_samples)
        finally:
            self.output_dir = folder
        for sample in data_samples:
            labels = sample['pred_sem_seg']['data'].squeeze().cpu().numpy().astype(np.uint16)
            if sample.get('reduce_zero_label', False):
                labels += 1
            with written_aside(Path(folder) / f'{Path(sample["img_path"]).stem}.png') as unfinished:
                Image.fromarray(labels).save(unfinished)

    def compute_metrics(self, results: list) -> dict:
        """Return the metrics of the dataset from (intersect, union, prediction, label) areas."""
        metrics = super().compute_metrics(results)
        if self.format_only:
            return metrics
        areas = [sum(area) for area in zip(*results, strict=True)]
        values = self.total_area_to_metrics(*areas, self.metrics, self.nan_to_num, self.beta)
        values.pop('aAcc')
        for name, value in values.items():
            for group, members in self.groups.items():
                mean = _nanmean(value[members])
                if mean is not None:
                    metrics[f'm{name}_{group}'] = mean
        for by, groups in self.rarity.items():
            for name, value in values.items():
                for group, members in groups.items():
                    mean = _nanmean(value[members])
                    if mean is not None:
                        metrics[f'm{name}_{group}_{by}'] = mean
            metrics[f'gini_{by}'] = round(gini_index(self.frequency.counts(by)), 4)
        self._print_table(values)
        if self.per_class:
            metrics['per_class'] = self._per_class(values)
        return metrics

    def _per_class(self, values: dict[str, np.ndarray]) -> dict[str, list]:
        group_of = _group_of(self.groups)
        table: dict[str, list] = {
            'class': self._names(),
            'group': [group_of[index] for index in range(len(group_of))],
            'images': list(self.frequency.images),
        }
        if self.frequency.pixels is not None:
            table['pixels'] = list(self.frequency.pixels)
        for by, groups in self.rarity.items():
            rarity_of = _group_of(groups)
            table[f'rarity_{by}'] = [rarity_of[index] for index in range(len(rarity_of))]
        for name, value in values.items():
            table[name] = [None if np.isnan(v) else _percent(v) for v in value]
        return table

    def _names(self) -> list[str]:
        return list(self.frequency.classes or self.dataset_meta['classes'])

    def _print_table(self, values: dict[str, np.ndarray]) -> None:
        names = self._names()
        table = PrettyTable(['Group', 'Class', 'Train share', *values])
        for group, members in self.groups.items():
            for index in members:
                row = [f'{_percent(value[index]):.2f}' for value in values.values()]
                share = f'{self.shares[index]:.3%}'
                table.add_row([group, names[index], share, *row])
        logger: MMLogger = MMLogger.get_current_instance()
        print_log('per class results by falling training frequency:', logger)
        print_log('\n' + table.get_string(), logger=logger)


def _check_arguments(arguments: dict[str, Any]) -> None:
    """Refuse what neither this metric nor IoUMetric, which takes anything, knows.

    Raises:
        TypeError: names the argument and those that exist.
    """
    known = named_arguments((LongTailIoUMetric, IoUMetric))
    for name in arguments:
        if name not in known:
            raise TypeError(f'{KEY}.{name}: expected one of {", ".join(known)}, got {name!r}')


def _group_of(groups: Mapping[str, Sequence[int]]) -> dict[int, str]:
    return {index: group for group, members in groups.items() for index in members}


def _percent(value: float) -> float:
    # float32 areas: round after the conversion, so that JSON shows two decimals
    return round(float(value) * 100, 2)


def _nanmean(values: np.ndarray) -> float | None:
    """Return the mean in percent over the defined values, None without any."""
    values = values[~np.isnan(values)]
    return _percent(values.mean()) if len(values) else None
