"""The confusion matrix of a test, with samples that show the rarest classes.

One metric for both tasks: accuracy and IoU of every class, their means over groups and what a class
is taken for all follow from the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from paco_seg.core.checks import check_count
from paco_seg.engine.pictures import write_picture
from paco_seg.files import write_json

Matrix = npt.NDArray[np.int64]
CONFUSION, EXAMPLES = 'confusion.json', 'examples.json'
_PER_CLASS = 2  # images of a class to keep, in classification


@METRICS.register_module()
class ClassConfusion(BaseMetric):
    """Counts which class is taken for which, over pixels or over images.

    Args:
        num_classes: C.
        measure: ``'IoU'`` of label maps: returns ``mIoU`` and ``aAcc``, as MMSegmentation defines
            them; ``'accuracy'`` of images: ``top1`` and ``class_mean``. Percent.
        ignore_index: label that counts nowhere, beside those outside [0, C).
        rare: classes of which samples are kept, rarest first.
        out_dir: folder for the matrix (``confusion.json``) and the samples (``examples.json`` and
            label maps); None writes nothing.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: prefix of the names.

    Attributes:
        matrix: (C, C) counts of the last evaluation, in the main process; rows are labels.
    """

    default_prefix = None

    def __init__(
        self,
        num_classes: int,
        measure: Literal['IoU', 'accuracy'] = 'IoU',
        ignore_index: int = 255,
        rare: Sequence[int] = (),
        out_dir: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_count('ignore_index', ignore_index, low=-(2**63))
        if measure not in ('IoU', 'accuracy'):
            raise ValueError(f"measure: expected 'IoU' or 'accuracy', got {measure!r}")
        self.num_classes = num_classes
        self.measure = measure
        self.ignore_index = ignore_index
        self.rare = tuple(rare)
        self.out_dir = out_dir
        self.matrix: Matrix | None = None
        self._examples: dict[int, list[dict[str, Any]]] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pairs of label and prediction of each sample."""
        for sample in data_samples:
            label, pred = (array.astype(np.int64) for array in _label_and_prediction(sample))
            valid = (label >= 0) & (label < self.num_classes) & (label != self.ignore_index)
            pairs = label[valid] * self.num_classes + pred[valid]
            self.results.append(_counted(pairs, self.num_classes**2))
            if self.out_dir is not None:
                self._consider(sample, label, pred, valid)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metrics, and write the matrix and the samples."""
        matrix = np.zeros((self.num_classes, self.num_classes), dtype=np.int64)
        for pairs, counts in results:
            matrix.reshape(-1)[pairs] += counts
        self.matrix = matrix
        if self.out_dir is not None and is_main_process():
            self._write(matrix, Path(self.out_dir))
        self._examples.clear()
        values = per_class(matrix, self.measure)
        total = matrix.sum()
        overall = 100 * float(np.trace(matrix) / total) if total else float('nan')
        mean = float(np.nanmean(values)) if not np.isnan(values).all() else float('nan')
        if self.measure == 'IoU':
            return dict(mIoU=mean, aAcc=overall)
        return dict(top1=overall, class_mean=mean)

    def _consider(self, sample: Mapping, label: np.ndarray, pred: np.ndarray, valid: Any) -> None:
        """Keep a sample if it shows a rare class, the label map with the most pixels of it."""
        path = str(sample.get('img_path') or '')
        for rare in self.rare:
            number = int((label[valid] == rare).sum())
            kept = self._examples.setdefault(rare, [])
            if not number or not path:
                continue
            found = dict(img_path=path, label=label, pred=pred, number=number)
            if self.measure == 'accuracy':
                if len(kept) < _PER_CLASS:
                    kept.append(found)
            elif not kept or number > kept[0]['number']:
                kept[:] = [found]

    def _write(self, matrix: Matrix, folder: Path) -> None:
        rows = []
        written: dict[str, str] = {}
        for rare, kept in self._examples.items():
            for found in kept:
                row = dict(img_path=found['img_path'], rare=rare)
                if self.measure == 'accuracy':
                    row.update(label=int(found['label'].item()), pred=int(found['pred'].item()))
                elif found['img_path'] in written:
                    continue
                else:
                    stem = written[found['img_path']] = f'example-{len(written)}'
                    for name in ('label', 'pred'):
                        row[name] = f'{stem}_{name}.png'
                        _write_labels(folder / row[name], found[name], self.num_classes)
                rows.append(row)
        write_json(folder / EXAMPLES, rows)
        write_json(folder / CONFUSION, matrix.tolist(), indent=None)


def per_class(matrix: Matrix, measure: str) -> npt.NDArray[np.float64]:
    """Return the IoU, or the accuracy, of every class.

    Args:
        matrix: (C, C) counts, rows are labels and columns predictions.
        measure: ``'IoU'`` or ``'accuracy'``.

    Returns:
        (C,) in percent; NaN for a class without labels (IoU: without predictions too).
    """
    hit, labels, preds = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    of = labels + preds - hit if measure == 'IoU' else labels
    values = np.full(len(matrix), np.nan)
    values[of > 0] = 100 * hit[of > 0] / of[of > 0]
    return values


def _label_and_prediction(sample: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Return label and prediction of a sample of either task, both of any shape."""
    if 'pred_sem_seg' in sample:
        return (
            sample['gt_sem_seg']['data'].squeeze().numpy(force=True),
            sample['pred_sem_seg']['data'].squeeze().numpy(force=True),
        )
    score = sample.get('pred_score')
    pred = sample['pred_label'] if score is None else score.argmax()
    return np.asarray([int(sample['gt_label'])]), np.asarray([int(pred)])


def _write_labels(path: Path, labels: np.ndarray, num_classes: int) -> None:
    """Write a label map of 8 bits, or 16 if there are so many classes; what is none is the most."""
    kind: Any = np.uint8 if num_classes < 256 else np.uint16
    nothing = np.iinfo(kind).max
    outside = (labels < 0) | (labels >= num_classes)
    write_picture(path, np.where(outside, nothing, labels).astype(kind))


def _counted(values: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the values in [0, number) that occur, and how often; by counting if they are many."""
    if values.size < number:
        found, counts = np.unique(values, return_counts=True)
        return found, counts
    counts = np.bincount(values, minlength=number)
    found = np.flatnonzero(counts)
    return found, counts[found]
