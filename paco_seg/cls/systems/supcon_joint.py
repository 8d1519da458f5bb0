"""Cross entropy and supervised contrast of two views at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.contrastive import contrastive_changes
from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

NAME = 'supcon-joint'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head and two views: those of GPaCo with another loss."""
    model = dict(type='GPaCoClassifier')
    return contrastive_changes(
        NAME, cfg, model, 'MultiTaskSupConClsHead', 'MultiTaskSupConLoss', settings
    )


SYSTEM = TrainingSystem(
    name=NAME,
    title='CE + SupCon',
    paper='Khosla et al., Supervised Contrastive Learning, NeurIPS 2020 (arXiv 2004.11362)',
    summary='two views: cross entropy, and supervised contrast beside it without class centers',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    settings=dict(alpha=0.5, temperature=0.1, class_prior=None, queue_size=None, projector=None),
    passes_on=True,
    search=dict(alpha=(0.2, 0.5)),
    needs=Needs(two_views=True),
    combines_with=('class-aware-sampling',),
)
