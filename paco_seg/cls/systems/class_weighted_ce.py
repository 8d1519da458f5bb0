"""Cross entropy with weights by class frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    cross_entropy,
    single_label_head,
    with_loss,
)
from paco_seg.core.compared.class_weights import class_weights
from paco_seg.core.frequency import check_num_classes, load_class_frequency
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

KEY = 'class-weighted-ce.frequency_file'
DIGITS = 6  # of a weight in the written config


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the stock loss with ``class_weight``; numbers, as the stock loss takes no file."""
    head = single_label_head(cfg)
    frequency = load_class_frequency(str(inputs.frequency_file), KEY)
    if 'num_classes' in head:
        check_num_classes(frequency, head['num_classes'], KEY)
    weights = class_weights(
        torch.from_numpy(frequency.counts('images', KEY)),
        weighting=settings['weighting'],
        beta=settings['beta'],
    )
    rounded = [float(f'{weight:.{DIGITS}g}') for weight in weights.tolist()]
    return [with_loss(cfg, head, {**cross_entropy(head), 'class_weight': rounded})]


CLASS_WEIGHTED_CE = TrainingSystem(
    name='class-weighted-ce',
    title='CE, class weights',
    paper='Cui et al., CVPR 2019, arXiv 1901.05555',
    summary='cross entropy with weights by inverse effective number, or inverse frequency',
    change=change,
    imports=IMPORTS,
    settings=dict(weighting='effective-number', beta=0.999),
    search=dict(weighting=('effective-number', 'inverse')),
    needs=Needs(class_frequencies=True),
)
