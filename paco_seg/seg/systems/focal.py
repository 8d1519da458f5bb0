"""Focal loss: pixels that are classified well count less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import HARD_PIXELS, IMPORTS, SETTINGS, change_heads, with_losses


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies that become focal losses."""
    focal = dict(type='SoftmaxFocalLoss', gamma=settings['gamma'])
    return change_heads(
        cfg,
        settings['heads'],
        lambda key, head: with_losses(key, head, lambda loss: [{**loss, **focal}]),
    )


SYSTEM = TrainingSystem(
    name='focal',
    title='Focal loss',
    paper='Lin et al., Focal Loss for Dense Object Detection, ICCV 2017 (arXiv 1708.02002)',
    summary='softmax cross entropy times (1 - p)^gamma: what is classified well counts less',
    change=change,
    imports=IMPORTS,
    acts_on=HARD_PIXELS,
    settings=dict(SETTINGS, gamma=2.0),
    search=dict(gamma=(1.0, 2.0)),
    combines_with=('gpaco',),
)
