"""Seesaw loss: rare classes are pushed down less by pixels of frequent ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import FREQUENCY, IMPORTS, SETTINGS, change_heads, with_losses


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies that become seesaw losses."""
    own = {key: value for key, value in settings.items() if key != 'heads'}

    def seesaw(loss: dict[str, Any]) -> list[dict[str, Any]]:
        loss.pop('class_weight', None)  # the mitigation does what the weights were for
        return [{**loss, 'type': 'PixelSeesawLoss', **own}]

    return change_heads(cfg, settings['heads'], lambda key, head: with_losses(key, head, seesaw))


SYSTEM = TrainingSystem(
    name='seesaw',
    title='Seesaw loss',
    paper='Wang et al., Seesaw Loss for Long-Tailed Instance Segmentation, CVPR 2021 '
    '(arXiv 2008.10032)',
    summary='cross entropy in which pixels of frequent classes push rare ones down less, and '
    'mistaken ones more; it counts the classes itself',
    change=change,
    imports=IMPORTS,
    acts_on=FREQUENCY,
    settings=dict(SETTINGS, p=0.8, q=2.0, count_by='pixels'),
    search=dict(p=(0.4, 0.8)),
    combines_with=('gpaco',),
)
