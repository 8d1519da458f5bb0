"""PaCo: parametric contrast with keys of a momentum encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.contrastive import contrastive_changes
from paco_seg.cls.systems.stock_classifier import IMPORTS
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem

NAME = 'paco'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier, head and two views; further settings are those of ``GPaCoLoss``."""
    loss = dict(settings)
    model = dict(type='PaCoClassifier', momentum=loss.pop('momentum'))
    return contrastive_changes(NAME, cfg, model, 'PaCoClsHead', 'GPaCoLoss', loss)


SYSTEM = TrainingSystem(
    name=NAME,
    title='PaCo',
    paper='Cui et al., Parametric Contrastive Learning, ICCV 2021 (arXiv 2107.12028)',
    summary='two views: the first contrasts with class centers, and with keys that a momentum '
    'encoder makes of the second',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    settings=dict(
        class_prior='auto', alpha='auto', momentum='auto', queue_size=None, projector=None
    ),
    passes_on=True,
    search=dict(temperature=(0.1, 0.2)),
    needs=Needs(two_views=True),
)
