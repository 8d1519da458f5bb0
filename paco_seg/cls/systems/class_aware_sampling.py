"""Cross entropy on batches in which every class is drawn equally often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import IMPORTS, sampler, single_label_head
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the sampler."""
    single_label_head(cfg)
    return [sampler(cfg, type='ClassAwareSampler', **settings)]


CLASS_AWARE_SAMPLING = TrainingSystem(
    name='class-aware-sampling',
    title='CE, class-aware sampling',
    paper='Shen et al., ECCV 2016, arXiv 1512.05830',
    summary='draws every class equally often; loss and head stay',
    change=change,
    imports=IMPORTS,
    settings=dict(samples_per_visit=4),
    needs=Needs(class_balanced_sampler=True),
    combines_with=('focal', 'supcon-joint'),
)
