"""The log class prior leaves the logits of a trained classifier, at test alone."""

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
    """Return the head; the prior is counted on the training set of the config."""
    head = linear_head(cfg)
    new = dict(type='LogitAdjustedClsHead', **linear_settings(head), **settings)
    return [ModelChange(('head',), dict(_delete_=True, **new))]


SYSTEM = TrainingSystem(
    name='log-prior-test',
    title='CE, log prior at test',
    paper='Menon et al., Long-tail learning via logit adjustment, ICLR 2021 (arXiv 2007.07314)',
    summary='tests the weights of ce with logits minus tau times the log class prior; no training',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    settings=dict(class_prior='auto', tau=1.0),
    search=dict(tau=(0.5, 1.0, 1.5, 2.0)),
    source='ce',
    trains=False,
    inference='one subtraction per logit',
)
