"""Errors on ImageNet-C under unambiguous names, and accuracy over a subset of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from paco_seg.cls.datasets import ALEXNET_ERRORS, IMAGENET_R_INDICES
from paco_seg.cls.evaluation.predicted_label import predicted_label


@METRICS.register_module()
class ImageNetCError(BaseMetric):
    """Top-1 errors on ImageNet-C, in percent.

    For corruption c, ``err_c = 1 - mean over severities of top-1``. Two averages are in use and
    both are called mCE somewhere, so neither is reported under that name alone:

    * ``mean_error``: mean of ``err_c``, unnormalised. The GPaCo authors print it as "mCE".
    * ``mCE_alexnet_normalised``: mean of ``err_c / AlexNet_c``. This is the *mean corruption
      error* of the ImageNet-C paper (arXiv 1903.12261); the GPaCo authors print it as "rel. mCE".
      (What that paper calls *relative* mCE subtracts the clean error first; it is not computed.)

    ``error_<corruption>`` gives each ``err_c``.

    Args:
        reference_errors: error of the reference model per corruption, in [0, 1]; AlexNet's by
            default.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: prefix of the names.

    Raises:
        KeyError: the samples do not carry ``corruption`` and ``severity``.
        ValueError: a corruption has no reference error (names it).
    """

    default_prefix = 'imagenet-c'

    def __init__(
        self,
        reference_errors: Mapping[str, float] | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.reference_errors = dict(reference_errors or ALEXNET_ERRORS)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep corruption, severity and correctness of each sample."""
        for sample in data_samples:
            if 'corruption' not in sample or 'severity' not in sample:
                raise KeyError(
                    'data_samples: expected corruption and severity, got neither or one. '
                    "Add meta_keys=('corruption', 'severity') to PackInputs and use the ImageNetC "
                    'dataset'
                )
            correct = predicted_label(sample) == int(sample['gt_label'])
            self.results.append((sample['corruption'], sample['severity'], correct))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average over images, then severities, then corruptions."""
        hits: dict[str, dict[int, list[bool]]] = {}
        for corruption, severity, correct in results:
            hits.setdefault(corruption, {}).setdefault(severity, []).append(correct)
        unknown = sorted(set(hits) - set(self.reference_errors))
        if unknown:
            raise ValueError(
                f'reference_errors: expected a value for each corruption, got none for {unknown}. '
                'Add them or leave these corruptions out'
            )
        errors = {
            corruption: 1 - float(np.mean([np.mean(hit) for hit in severities.values()]))
            for corruption, severities in hits.items()
        }
        ratios = [error / self.reference_errors[c] for c, error in errors.items()]
        metrics = {f'error_{c}': 100 * error for c, error in errors.items()}
        metrics['mean_error'] = 100 * float(np.mean(list(errors.values())))
        metrics['mCE_alexnet_normalised'] = 100 * float(np.mean(ratios))
        return metrics


@METRICS.register_module()
class SubsetAccuracy(BaseMetric):
    """Top-1 accuracy when only some of the classes can be predicted (ImageNet-R).

    The scores of all other classes are masked before the arg max.

    Args:
        class_indices: indices of the allowed classes, or ``'imagenet-r'``.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: prefix of the names.

    Raises:
        ValueError: the indices are empty or repeated, a label is not among them, or the model has
            too few classes.
    """

    default_prefix = 'subset'

    def __init__(
        self,
        class_indices: Sequence[int] | str,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if class_indices == 'imagenet-r':
            class_indices = IMAGENET_R_INDICES
        if isinstance(class_indices, str) or not class_indices:
            raise ValueError(
                f"class_indices: expected class indices or 'imagenet-r', got {class_indices!r}"
            )
        if len(set(class_indices)) != len(class_indices):
            raise ValueError('class_indices: expected distinct indices, got repeated ones')
        self.class_indices = list(class_indices)
        self._allowed = set(class_indices)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the correctness of each sample."""
        for sample in data_samples:
            label, score = int(sample['gt_label']), sample['pred_score']
            if label not in self._allowed:
                raise ValueError(
                    f'gt_label: expected one of the {len(self.class_indices)} class_indices, got '
                    f'{label}. Use a dataset whose labels are the indices of the full model'
                )
            if max(self.class_indices) >= len(score):
                raise ValueError(
                    f'class_indices: expected indices below the {len(score)} classes of the '
                    f'model, got {max(self.class_indices)}'
                )
            best = self.class_indices[int(score[self.class_indices].argmax())]
            self.results.append(best == label)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Share of correct samples in percent."""
        return dict(top1=100 * float(np.mean(results)))
