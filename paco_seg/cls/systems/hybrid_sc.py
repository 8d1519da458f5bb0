"""Hybrid-SC: supervised contrast that hands over to cross entropy on class-balanced images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.hybrid import hybrid_changes
from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

NAME = 'hybrid-sc'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the changes for two views; further settings are those of ``SupConLoss``."""
    return hybrid_changes(NAME, cfg, 'SupConLoss', 2, settings)


SYSTEM = TrainingSystem(
    name=NAME,
    title='Hybrid-SC',
    paper='Wang et al., Contrastive Learning based Hybrid Networks for Long-Tailed Image '
    'Classification, CVPR 2021 (arXiv 2103.14267)',
    summary='two views and a class-balanced image: supervised contrast that hands over to cross '
    'entropy',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook', 'TrainingProgressHook'),
    settings=dict(temperature=0.1, curriculum='parabolic', projector=None),
    passes_on=True,
    search=dict(temperature=(0.1, 0.5)),
    needs=Needs(two_views=True),
)
