"""IoU of the head, common and tail classes beside everything ``IoUMetric`` reports."""

from collections.abc import Sequence

import numpy as np
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable

from paco_seg.seg.class_frequency import check_classes, check_thresholds, load_class_frequency


@METRICS.register_module()
class LongTailIoUMetric(IoUMetric):
    """``IoUMetric`` plus the means of class groups by training frequency.

    Adds ``mIoU_head``, ``mIoU_common``, ``mIoU_tail`` (the same for ``mAcc`` and for whatever else
    ``iou_metrics`` asks for; a group without classes is left out) and prints the per-class table
    sorted by frequency. A class that occurs neither in the ground truth nor in the predictions
    counts in no mean, as in ``IoUMetric``. ::

        val_evaluator = dict(
            type='LongTailIoUMetric', iou_metrics=['mIoU'],
            frequency_file='data/ade20k_frequency.json')

    Args:
        frequency_file: JSON file of ``tools/class_statistics.py`` (see
            :mod:`paco_seg.seg.class_frequency`); its classes have to be those of the dataset.
        group_by: 'images' (share of the training images that contain the class) or 'pixels'.
        group_thresholds: (head, tail) shares: at least the first is head, below the second is
            tail. Default: (0.1, 0.01) of the images, (0.01, 0.001) of the pixels.
        per_class: also return the per-class values as one entry ``per_class`` (a dict of lists in
            label order: class, group, images, pixels, IoU, Acc, ...; percentages, None where
            undefined). It is no scalar, so loggers and visualizers that follow scalars leave it
            alone, and it can be dumped to JSON as it is.
        **kwargs: as ``IoUMetric``.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        ValueError: it is unreadable or about other classes, or a group setting is out of range.
    """

    def __init__(
        self,
        *args,
        frequency_file: str,
        group_by: str = 'images',
        group_thresholds: Sequence[float] | None = None,
        per_class: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.frequency = load_class_frequency(
            frequency_file, key='LongTailIoUMetric.frequency_file'
        )
        if group_thresholds is not None:
            check_thresholds(group_thresholds, 'LongTailIoUMetric.group_thresholds')
        self.shares = self.frequency.shares(group_by, 'LongTailIoUMetric.group_by')
        self.groups = self.frequency.groups(group_by, group_thresholds)
        self.per_class = per_class

    @IoUMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta of the evaluated dataset; set before the first step, so errors come early."""
        check_classes(self.frequency, dataset_meta['classes'], 'LongTailIoUMetric.frequency_file')
        self._dataset_meta = dataset_meta

    def compute_metrics(self, results: list) -> dict:
        """Metrics of the whole dataset from (intersect, union, prediction, label) areas."""
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
        self._print_table(values)
        if self.per_class:
            metrics['per_class'] = self._per_class(values)
        return metrics

    def _per_class(self, values: dict[str, np.ndarray]) -> dict[str, list]:
        group_of = {index: group for group, members in self.groups.items() for index in members}
        table: dict[str, list] = {
            'class': list(self.frequency.classes),
            'group': [group_of[index] for index in range(len(group_of))],
            'images': list(self.frequency.images),
        }
        if self.frequency.pixels is not None:
            table['pixels'] = list(self.frequency.pixels)
        for name, value in values.items():
            table[name] = [None if np.isnan(v) else _percent(v) for v in value]
        return table

    def _print_table(self, values: dict[str, np.ndarray]) -> None:
        table = PrettyTable(['Group', 'Class', 'Train share', *values])
        for group, members in self.groups.items():
            for index in members:
                row = [f'{_percent(value[index]):.2f}' for value in values.values()]
                share = f'{self.shares[index]:.3%}'
                table.add_row([group, self.frequency.classes[index], share, *row])
        logger: MMLogger = MMLogger.get_current_instance()
        print_log('per class results by falling training frequency:', logger)
        print_log('\n' + table.get_string(), logger=logger)


def _percent(value: float) -> float:
    # float32 areas: round after the conversion, so that JSON shows two decimals
    return round(float(value) * 100, 2)


def _nanmean(values: np.ndarray) -> float | None:
    """Mean in percent over the defined values, None without any."""
    values = values[~np.isnan(values)]
    return _percent(values.mean()) if len(values) else None
