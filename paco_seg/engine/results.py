"""The metrics of a test as one JSON file, with the values of every class."""

from __future__ import annotations

import json
import math
import pickle
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.evaluator.metric import _to_cpu
from mmengine.fileio import dump
from mmengine.logging import print_log

from paco_seg.engine.class_confusion import ClassConfusion
from paco_seg.files import write_text, written_aside

# The last one without frames, which hold lengths of what follows them.
PROTOCOL = 3


class DumpPredictions(DumpResults):
    """MMEngine's file of all predictions, a pickled list, complete or absent.

    In one process the predictions go to the file as they come, so that memory does not grow with
    the number of images. Several processes collect theirs first, as MMEngine does.

    Args:
        *args: of :class:`mmengine.evaluator.DumpResults`.
        **kwargs: the same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file: BinaryIO | None = None
        self._written = 0

    def process(self, data_batch: Any, predictions: Sequence[dict]) -> None:
        """Append predictions to the file."""
        if get_world_size() > 1:
            super().process(data_batch, predictions)
            return
        if self._file is None:
            self._open()
        assert self._file is not None
        for prediction in predictions:
            # A pickle of its own without its first two bytes, the protocol, and its last, the end.
            # The names that it gives to repeated objects are its own; later ones replace them.
            item = pickle.dumps(_to_cpu(prediction), PROTOCOL)[2:-1] + pickle.APPEND
            try:
                self._file.write(item)
            except OSError:  # the disk is full
                self._abandon()
                raise
            self._written += 1

    def evaluate(self, size: int) -> dict:
        """Complete the file; there are no metrics."""
        if get_world_size() > 1:
            found: dict = super().evaluate(size)
            return found
        if self._file is None:
            self._open()
        assert self._file is not None
        self._file.write(pickle.STOP)
        self._abandon.detach()
        self._stack.close()
        print_log(f'{self.out_file_path}: {self._written} predictions', 'current')
        self._file, self._written = None, 0
        return {}

    def compute_metrics(self, results: list) -> dict:
        """Write the collected predictions; there are no metrics."""
        with written_aside(self.out_file_path) as unfinished:
            dump(results, str(unfinished))
        print_log(f'{self.out_file_path}: {len(results)} predictions', 'current')
        return {}

    def _open(self) -> None:
        """Begin a list; a test that does not end removes the file."""
        self._stack = ExitStack()
        unfinished = self._stack.enter_context(written_aside(self.out_file_path))
        self._abandon = weakref.finalize(self, _end_by_error, self._stack)
        self._file = self._stack.enter_context(unfinished.open('wb'))
        self._file.write(pickle.PROTO + bytes([PROTOCOL]) + pickle.EMPTY_LIST)


def _end_by_error(stack: ExitStack) -> None:
    error = EOFError('the test did not end')
    with suppress(EOFError):
        stack.__exit__(EOFError, error, None)


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
    write_text(path, json.dumps(_plain(content), indent=1, allow_nan=False) + '\n')


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
