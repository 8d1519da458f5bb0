"""Cross entropy with the log class prior in the logits, in training alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    single_label_head,
    with_loss,
    without_mixed_images,
)
from paco_seg.engine.model_changes import ModelChange, merged_changes
from paco_seg.engine.systems import SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the loss, without Mixup and CutMix: it has no published form for mixed labels."""
    head = single_label_head(cfg)
    loss = with_loss(cfg, head, dict(type='BalancedSoftmaxLoss', **settings))
    return merged_changes([loss, *without_mixed_images(cfg)])


BALANCED_SOFTMAX = TrainingSystem(
    name='balanced-softmax',
    title='Balanced Softmax',
    paper='Ren et al., NeurIPS 2020, arXiv 2007.10740',
    summary='cross entropy of logits plus the log class prior; prediction from the logits alone',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    settings=dict(class_prior='auto', tau=1.0),
    search=dict(tau=(1.0, 1.5)),
)
