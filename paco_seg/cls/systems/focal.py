"""Focal loss: a sigmoid for each class, as MMPretrain has it, with the prior of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import IMPORTS, single_label_head, with_loss
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the loss; the order of the scores, and with it the prediction, stays that of logits.

    The scores that the head reports are the softmax of logits that were trained as one binary
    question for each class.
    """
    head = single_label_head(cfg)
    return [with_loss(cfg, head, dict(type='PriorFocalLoss', **settings))]


SYSTEM = TrainingSystem(
    name='focal',
    title='Focal loss',
    paper='Lin et al., Focal Loss for Dense Object Detection, ICCV 2017 (arXiv 1708.02002)',
    summary='one sigmoid for each class instead of the softmax, from a small probability on; what '
    'is told well counts less',
    change=change,
    imports=IMPORTS,
    settings=dict(gamma=2.0, alpha=0.25, prior=0.01),
    search=dict(gamma=(1.0, 2.0)),
    combines_with=('class-aware-sampling',),
)
