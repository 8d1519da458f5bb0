"""A new classifier on fixed features of cross entropy, with every class drawn equally often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    linear_head,
    sampler,
    without_other_weights,
)
from paco_seg.cls.systems.training_views import with_views
from paco_seg.engine.model_changes import ModelChange, merged_changes
from paco_seg.engine.systems import MISSING_WEIGHTS, Needs, SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier and sampler; the head starts anew, the schedule stays."""
    linear_head(cfg)
    weights = inputs.weights or MISSING_WEIGHTS.format('ce')
    model = dict(type='FrozenFeatureClassifier', stage_one=weights)
    return merged_changes(
        [
            ModelChange((), model),
            *with_views(cfg, 1),
            sampler(cfg, type='ClassAwareSampler', **settings),
            *without_other_weights(cfg),
        ]
    )


SYSTEM = TrainingSystem(
    name='crt',
    title='cRT',
    paper='Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, '
    'ICLR 2020 (arXiv 1910.09217)',
    summary='second stage after ce: backbone and neck fixed, a new classifier on classes drawn '
    'equally often',
    change=change,
    imports=IMPORTS,
    settings=dict(samples_per_visit=4),
    needs=Needs(class_balanced_sampler=True),
    source='ce',
    source_key='model.stage_one',
)
