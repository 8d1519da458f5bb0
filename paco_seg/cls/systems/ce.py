"""The baseline: a stock config trained with cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    CROSS_ENTROPIES,
    IMPORTS,
    cross_entropy,
    kind,
    single_label_head,
    with_loss,
)
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return nothing for a config with cross entropy, or the loss for one with another."""
    head = single_label_head(cfg)
    loss = head.get('loss')
    is_cross_entropy = loss is None or kind(loss) in CROSS_ENTROPIES
    if is_cross_entropy and not (loss or {}).get('class_weight'):
        return []
    return [with_loss(cfg, head, cross_entropy(head))]


CE = TrainingSystem(
    name='ce',
    title='CE',
    paper='',
    summary='the config as it is: its cross entropy with its label smoothing, Mixup and sampler',
    change=change,
    imports=IMPORTS,
)
