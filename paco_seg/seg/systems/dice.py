"""Dice loss beside cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmseg.models.decode_heads.point_head import PointHead

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem, refusal
from paco_seg.seg.systems.heads import (
    IMPORTS,
    SETTINGS,
    change_heads,
    pixel_classifier,
    with_loss_beside,
)


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies that get the Dice loss beside them."""
    dice = dict(type='SoftmaxDiceLoss', loss_weight=settings['loss_weight'])

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        if issubclass(pixel_classifier(key, head), PointHead):
            raise refusal(
                f'{key}.type',
                'a head that predicts maps',
                head['type'],
                'Dice is the overlap of areas, which drawn points are not',
            )
        reason = 'SoftmaxDiceLoss takes no weights of pixels'
        return with_loss_beside(key, head, dice, reason)

    return change_heads(cfg, settings['heads'], settings_of)


SYSTEM = TrainingSystem(
    name='dice',
    title='CE + Dice',
    paper='Milletari et al., V-Net, 3DV 2016 (arXiv 1606.04797)',
    summary='cross entropy plus one minus the overlap of prediction and label, mean over classes',
    change=change,
    imports=IMPORTS,
    settings=dict(SETTINGS, loss_weight=1.0),
    search=dict(loss_weight=(1.0, 3.0)),
    combines_with=('gpaco', 'rare-class-sampling', 'region-rebalance'),
)
