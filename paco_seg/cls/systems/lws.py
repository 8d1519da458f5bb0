"""One scale for each class on the fixed classifier of cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    MISSING_WEIGHTS,
    linear_head,
    linear_settings,
    replacing,
    sampler,
)
from paco_seg.cls.systems.training_views import with_views
from paco_seg.engine.model_changes import ModelChange, merged_changes
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head, sampler and weights; the schedule stays."""
    head = linear_head(cfg)
    new = dict(type='LWSClsHead', **linear_settings(head))
    model = dict(type='FrozenFeatureClassifier', head=replacing(new, head))
    weights = inputs.weights or MISSING_WEIGHTS.format('ce')
    return merged_changes(
        [
            ModelChange((), model),
            *with_views(cfg, 1),
            sampler(cfg, type='ClassAwareSampler', **settings),
            ModelChange((), dict(load_from=weights), root=''),
        ]
    )


LWS = TrainingSystem(
    name='lws',
    title='LWS',
    paper='Kang et al., ICLR 2020, arXiv 1910.09217',
    summary='second stage after ce: all of it fixed, one scale for each class learned on classes '
    'drawn equally often',
    change=change,
    imports=IMPORTS,
    settings=dict(samples_per_visit=4),
    needs=Needs(class_balanced_sampler=True),
    source='ce',
)
