"""One scale for each class on the fixed classifier of cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    linear_head,
    linear_settings,
    sampler,
)
from paco_seg.cls.systems.training_views import with_views
from paco_seg.engine.model_changes import ModelChange, merged_changes
from paco_seg.engine.systems import MISSING_WEIGHTS, Needs, SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head, sampler, rate of the scales and weights; the schedule stays."""
    sampling = dict(settings)
    factor = sampling.pop('lr_mult')
    head = linear_head(cfg)
    new = dict(type='LWSClsHead', **linear_settings(head))
    model = dict(type='FrozenFeatureClassifier', head=dict(_delete_=True, **new))
    weights = inputs.weights or MISSING_WEIGHTS.format('ce')
    return merged_changes(
        [
            ModelChange((), model),
            *with_views(cfg, 1),
            sampler(cfg, type='ClassAwareSampler', **sampling),
            *_rate(cfg, factor),
            ModelChange((), dict(load_from=weights), root=''),
        ]
    )


def _rate(cfg: Config, factor: float | None) -> list[ModelChange]:
    """Return the factor of the learning rate of the scales."""
    wrapper = cfg.get('optim_wrapper') or {}
    optimizer = wrapper.get('optimizer') or {}
    if factor is None:
        factor = 10.0 if 'adam' in str(optimizer.get('type')).lower() else 1.0
    if factor == 1.0:
        return []
    if 'LearningRateDecay' in str(wrapper.get('constructor')) and optimizer.get('lr'):
        # It knows no factors of single parameters, and the scales are all that learns.
        rate = dict(optimizer=dict(lr=float(f'{factor * optimizer["lr"]:.6g}')))
        return [ModelChange((), rate, root='optim_wrapper')]
    # Decay as strong as the rate would pull the scales to zero.
    scales = dict(lr_mult=factor, decay_mult=0.0)
    rates = dict(custom_keys=dict(scales=scales))
    return [ModelChange((), dict(paramwise_cfg=rates), root='optim_wrapper')]


SYSTEM = TrainingSystem(
    name='lws',
    title='LWS',
    paper='Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, '
    'ICLR 2020 (arXiv 1910.09217)',
    summary='second stage after ce: all of it fixed, one scale for each class learned on classes '
    'drawn equally often',
    change=change,
    imports=IMPORTS,
    # A step of Adam is no longer than the learning rate, which suits weights around zero; scales
    # have to travel from 1. The authors train them by SGD.
    settings=dict(samples_per_visit=4, lr_mult=None),
    needs=Needs(class_balanced_sampler=True),
    source='ce',
    inference='one factor per logit',
)
