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
from paco_seg.core.checks import check_choice, check_range
from paco_seg.core.compared.class_weights import WEIGHTINGS, class_weights
from paco_seg.core.frequency import check_num_classes
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.preflight import kind_of, repetitions, walk_datasets
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem, refusal

NAME = 'class-weighted-ce'
KEY = f'{NAME}.frequency_file'
DIGITS = 6  # of a weight in the written config


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the stock loss with ``class_weight``; numbers, as the stock loss takes no file."""
    check_choice(f'{NAME}.weights', settings['weights'], WEIGHTINGS)
    check_range(f'{NAME}.beta', settings['beta'], low=0.0, high=1.0 - 1e-12)
    head = single_label_head(cfg)
    check_delivery(cfg)
    frequency = inputs.class_frequency(KEY)
    if 'num_classes' in head:
        check_num_classes(frequency, head['num_classes'], KEY)
    weights = class_weights(
        torch.from_numpy(frequency.counts('images', KEY)),
        weighting=settings['weights'],
        beta=settings['beta'],
    )
    rounded = [float(f'{weight:.{DIGITS}g}') for weight in weights.tolist()]
    return [with_loss(cfg, head, {**cross_entropy(head), 'class_weight': rounded})]


def check_delivery(cfg: Config) -> None:
    """Refuse a training set that delivers some classes more often than they are counted.

    Raises:
        ValueError: names the wrapper; the weights would balance a second time.
    """
    key = 'train_dataloader.dataset'
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    reason = 'The weights would balance the classes a second time: leave one of the two out'
    for place, part in walk_datasets(dataset, key):
        if kind_of(part) == 'ClassBalancedDataset':
            raise refusal(
                f'{place}.type', 'every image as often as any other', part['type'], reason
            )
    if len(set(repetitions(dataset, key).values())) > 1:
        raise refusal(key, 'every image as often as any other', 'RepeatDataset in a part', reason)


SYSTEM = TrainingSystem(
    name=NAME,
    title='Class-weighted CE',
    paper='Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019 '
    '(arXiv 1901.05555)',
    summary='cross entropy times a weight per class, larger for rare ones',
    change=change,
    imports=IMPORTS,
    settings=dict(weights='inverse', beta=0.999),
    search=dict(weights=WEIGHTINGS),
    needs=Needs(class_frequencies=True),
)
