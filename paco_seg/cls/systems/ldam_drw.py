"""Margins by class frequency, re-weighted in the last part of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    check_recipe,
    linear_head,
    linear_settings,
    without_mixed_images,
)
from paco_seg.engine.model_changes import ModelChange, merged_changes
from paco_seg.engine.systems import SystemInputs, TrainingSystem


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the cosine classifier and its loss, without Mixup and CutMix."""
    head = linear_head(cfg)
    check_recipe(cfg, 'loss')
    # Class vectors of length 1, whatever the stock head starts from.
    new = dict(
        type='LDAMClsHead',
        **linear_settings(head, 'loss', 'init_cfg', 'cal_acc', 'topk'),
        loss=dict(type='LDAMLoss', drw_start_epoch=None, **settings),
    )
    model = ModelChange((), dict(head=dict(_delete_=True, **new)))
    return merged_changes([model, *without_mixed_images(cfg)])


SYSTEM = TrainingSystem(
    name='ldam-drw',
    title='LDAM-DRW',
    paper='Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, '
    'NeurIPS 2019 (arXiv 1906.07413)',
    summary='cosine classifier with larger margins for rarer classes; classes weighted in the '
    'last part of the training',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook', 'TrainingProgressHook'),
    # The authors start at 0.8, where their learning rate falls in steps. Of one that falls as a
    # cosine little is left by then.
    settings=dict(
        class_counts='auto', max_margin=0.5, scale=30.0, drw_start_share=0.6, drw_beta=0.9999
    ),
    search=dict(max_margin=(0.3, 0.5)),
)
