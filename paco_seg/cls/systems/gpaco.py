"""GPaCo: parametric contrast of two views that pass one encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.contrastive import contrastive_changes
from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

NAME = 'gpaco'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head and two views; further settings are those of ``GPaCoLoss``."""
    model = dict(type='GPaCoClassifier')
    return contrastive_changes(NAME, cfg, model, 'GPaCoClsHead', 'GPaCoLoss', settings)


SYSTEM = TrainingSystem(
    name=NAME,
    title='GPaCo',
    paper='Cui et al., Generalized Parametric Contrastive Learning, TPAMI 2023 (arXiv 2209.12400)',
    summary='two views, whose embeddings and class centers contrast with each other and a queue '
    'of keys',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    # alpha='auto' fits any number of classes and any queue; numbers belong to published recipes.
    settings=dict(class_prior='auto', alpha='auto', queue_size=None, projector=None),
    passes_on=True,
    search=dict(temperature=(0.1, 0.2)),
    needs=Needs(two_views=True),
)
