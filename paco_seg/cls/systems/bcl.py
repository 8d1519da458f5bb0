"""Balanced contrastive learning beside the log prior in the cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.cls.systems.three_views import three_view_changes
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

NAME = 'bcl'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head and three views; further settings are those of ``BCLLoss``."""
    return three_view_changes(NAME, cfg, 'BCLClsHead', dict(type='BCLLoss'), settings)


SYSTEM = TrainingSystem(
    name=NAME,
    title='BCL',
    paper='Zhu et al., Balanced Contrastive Learning for Long-Tailed Visual Recognition, CVPR 2022 '
    '(arXiv 2207.09052)',
    summary='three views: the log prior in the cross entropy of the first; the others contrast '
    'with each other and a prototype per class, every class with the same weight',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    settings=dict(
        class_prior='auto', temperature=0.1, loss_weight=0.35, scale=None, projector=None
    ),
    passes_on=True,
    search=dict(temperature=(0.07, 0.1)),
    needs=Needs(three_views=True),
)
