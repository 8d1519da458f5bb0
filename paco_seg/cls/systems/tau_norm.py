"""Class vectors of a trained classifier, divided by a power of their length at test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    linear_head,
    linear_settings,
)
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the head."""
    head = linear_head(cfg)
    new = dict(type='TauNormClsHead', **linear_settings(head), **settings)
    return [ModelChange(('head',), dict(_delete_=True, **new))]


SYSTEM = TrainingSystem(
    name='tau-norm',
    title='CE, tau-normalised',
    paper='Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, '
    'ICLR 2020 (arXiv 1910.09217)',
    summary='tests the weights of ce with class vectors over their length to the power tau and no '
    'bias; no training',
    change=change,
    imports=IMPORTS,
    settings=dict(tau=1.0),
    search=dict(tau=(0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    source='ce',
    trains=False,
)
