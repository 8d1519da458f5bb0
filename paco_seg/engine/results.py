"""The metrics of a test as one JSON file, with the values of every class."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.fileio import dump
from mmengine.logging import print_log

from paco_seg.engine.class_confusion import ClassConfusion
from paco_seg.files import written_aside


class DumpPredictions(DumpResults):
    """MMEngine's file of all predictions, complete or absent.

    Args:
        *args: of :class:`mmengine.evaluator.DumpResults`.
        **kwargs: the same.
    """

    def compute_metrics(self, results: list) -> dict:
        """Write the predictions; there are no metrics."""
        with written_aside(self.out_file_path) as unfinished:
            dump(results, str(unfinished))
        print_log(f'{self.out_file_path}: {len(results)} predictions', 'current')
        return {}


class ConfusionRecorder(ClassConfusion):
    """Counts which class is taken for which, and adds no metric."""

    def compute_metrics(self, results: list) -> dict:
        """Count; there are no metrics."""
        super().compute_metrics(results)
        return {}


class PerClassRecorder:
    """Keeps the per-class values that MMSegmentation's ``IoUMetric`` computes and only prints.

    A metric that returns an entry ``per_class`` itself is left alone.

    Args:
        metrics: metrics of the evaluator, before the test. Those with the method
            ``total_area_to_metrics`` are watched.
    """

    def __init__(self, metrics: Sequence[BaseMetric]) -> None:
        self.values: dict[str, list] = {}
        for metric in metrics:
            if hasattr(metric, 'total_area_to_metrics'):
                metric.total_area_to_metrics = self._watch(metric.total_area_to_metrics)

    def _watch(self, compute: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            values = compute(*args, **kwargs)
            self.values.update(
                # Fractions, as the metric's table shows them: in percent.
                (name, [100 * float(item) for item in value])
                for name, value in values.items()
                if np.ndim(value) == 1
            )
            return values

        return watched


def describe_metrics(
    metrics: dict[str, Any],
    *,
    per_class: dict[str, list],
    classes: Sequence[str] | None,
    **source: Any,
) -> dict[str, Any]:
    """``{..source, 'metrics': {...}, 'per_class': {'class': [...], 'IoU': [...], ...}}``.

    Args:
        metrics: as the evaluator returns them. Lists with one value per class move to
            ``per_class`` (``single-label/recall_classwise`` as ``recall``); an entry ``per_class``
            takes its place.
        per_class: lists in label order, from :class:`PerClassRecorder`.
        classes: class names, or None.
        **source: what the metrics are about (config, checkpoint).
    """
    overall, per_class, own = {}, dict(per_class), None
    for key, value in _plain(metrics).items():
        name = key.rsplit('/', 1)[-1]
        if name == 'per_class':
            own = value
        elif classes is not None and isinstance(value, list) and len(value) == len(classes):
            per_class[name.removesuffix('_classwise')] = value
        else:
            overall[key] = value
    if per_class and classes is not None:
        per_class = {'class': list(classes), **per_class}
    return {**source, 'metrics': overall, 'per_class': own or per_class or None}


def write_metrics(path: str, content: dict[str, Any]) -> None:
    """Writes JSON.

    Args:
        path: its folder is created. The file appears complete or not at all.
        content: of :func:`describe_metrics`; several of them under their names.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f'{target.name}.part')
    unfinished.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + '\n')
    unfinished.replace(target)


def _plain(value: Any) -> Any:
    """Python values for JSON; what is not a number (a class that never occurs) becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
