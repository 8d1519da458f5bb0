"""Hybrid-PSC: contrast with class prototypes that hands over to class-balanced cross entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.hybrid import hybrid_changes
from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem

NAME = 'hybrid-psc'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the changes for one view; further settings: those of ``PrototypeContrastLoss``."""
    return hybrid_changes(NAME, cfg, 'PrototypeContrastLoss', 1, settings)


SYSTEM = TrainingSystem(
    name=NAME,
    title='Hybrid-PSC',
    paper='Wang et al., Contrastive Learning based Hybrid Networks for Long-Tailed Image '
    'Classification, CVPR 2021 (arXiv 2103.14267)',
    summary='an image and a class-balanced one: contrast with learnable prototypes that hands over '
    'to cross entropy',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook', 'TrainingProgressHook'),
    settings=dict(temperature=0.1, curriculum='parabolic', projector=None),
    passes_on=True,
    search=dict(temperature=(0.1, 1.0)),
)
