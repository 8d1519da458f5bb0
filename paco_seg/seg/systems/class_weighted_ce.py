"""Cross entropy with a weight per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from paco_seg.core.checks import check_choice
from paco_seg.core.frequency import ClassFrequency, check_num_classes, effective_numbers
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import IMPORTS, SETTINGS, change_heads, with_losses

KEY = 'class-weighted-ce'
KINDS = ('inverse', 'effective')


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies with ``class_weight``."""
    frequency = inputs.class_frequency(f'{KEY}.frequency_file')
    weights = class_weights(frequency, settings['weights'], settings['beta'])

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        if head.get('num_classes') is not None:
            check_num_classes(frequency, head['num_classes'], f'{KEY}.frequency_file')
        return with_losses(key, head, lambda loss: [dict(loss, class_weight=weights)])

    return change_heads(cfg, settings['heads'], settings_of)


def class_weights(frequency: ClassFrequency, weights: str, beta: float) -> list[float]:
    """Return a weight per class, of mean 1 over the classes that occur; four digits.

    Args:
        frequency: of the training set.
        weights: 'inverse': one over the share of the pixels. 'effective': one over the effective
            number of images with the class (Cui et al., arXiv 1901.05555, eq. 2); the pixels of
            one image overlap far too much to be counted one by one.
        beta: of the effective number, in [0, 1).

    Returns:
        C numbers; 1 for a class that never occurs, which no pixel uses.

    Raises:
        ValueError: a setting is out of range, or the file has no pixel counts.
    """
    check_choice(f'{KEY}.weights', weights, KINDS)
    key = f'{KEY}.frequency_file'
    counts = frequency.counts('pixels' if weights == 'inverse' else 'images', key)
    present = counts > 0
    values = np.ones(len(counts))
    if weights == 'inverse':
        values[present] = counts.sum() / counts[present]
    else:
        numbers = effective_numbers(torch.from_numpy(counts[present]), beta)
        values[present] = 1.0 / numbers.numpy()
    values[present] /= values[present].mean()
    return [float(f'{value:.4g}') for value in values]


SYSTEM = TrainingSystem(
    name=KEY,
    title='Class-weighted CE',
    paper='Cui et al., Class-Balanced Loss, CVPR 2019 (arXiv 1901.05555) for the effective number',
    summary='cross entropy times a weight per class, larger for rare ones',
    change=change,
    imports=IMPORTS,
    settings=dict(SETTINGS, weights='inverse', beta=0.999),
    search=dict(weights=KINDS),
    needs=Needs(class_frequencies=True),
    combines_with=('gpaco',),
)
