"""Probabilistic contrastive learning beside the log prior in the cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.cls.systems.three_views import three_view_changes
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

NAME = 'proco'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head and three views; further settings are those of ``ProCoLoss``."""
    contrast = dict(type='ProCoLoss', class_prior=settings['class_prior'])
    return three_view_changes(NAME, cfg, 'ProCoClsHead', contrast, settings)


SYSTEM = TrainingSystem(
    name=NAME,
    title='ProCo',
    paper='Du et al., Probabilistic Contrastive Learning for Long-Tailed Visual Recognition, '
    'TPAMI 2024 (arXiv 2403.06726)',
    summary='three views: the log prior in the cross entropy of the first; the others contrast '
    'with a running distribution of every class, without a queue or large batches',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook', 'TrainingProgressHook'),
    settings=dict(class_prior='auto', temperature=0.1, loss_weight=1.0, scale=None, projector=None),
    passes_on=True,
    search=dict(temperature=(0.07, 0.1)),
    needs=Needs(three_views=True),
)
