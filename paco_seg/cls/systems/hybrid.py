"""What Hybrid-SC and Hybrid-PSC have in common: two batches, a contrast that hands over."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.own_settings import checked_settings
from paco_seg.cls.systems.stock_classifier import (
    check_recipe,
    linear_head,
    linear_settings,
    without_mixed_images,
)
from paco_seg.cls.systems.training_views import training_views, with_num_views
from paco_seg.engine.model_changes import Inherited, ModelChange, merged_changes
from paco_seg.engine.systems import refusal

# Settings of the head; all others are those of the contrast.
HEAD_SETTINGS = ('curriculum', 'projector')


def hybrid_changes(
    name: str, cfg: Config, contrast: str, num_views: int, settings: Mapping[str, Any]
) -> list[ModelChange]:
    """Return classifier, head, and the data set that joins a class-balanced image to every other.

    Args:
        name: of the system.
        cfg: complete config with a linear head.
        contrast: type of the loss of the feature branch.
        num_views: views of each image that it sees.
        settings: of the contrast and, by ``HEAD_SETTINGS``, of the head.

    Raises:
        ValueError: the head is not linear, the training pipeline cannot be extended, or a setting
            is unknown.
    """
    head = linear_head(cfg)
    settings = checked_settings(name, settings, contrast, HEAD_SETTINGS)
    check_recipe(cfg, 'loss')
    check_recipe(cfg, 'train_pipeline')
    own = {key: settings[key] for key in HEAD_SETTINGS if settings.get(key) is not None}
    loss = {key: value for key, value in settings.items() if key not in HEAD_SETTINGS}
    new = dict(
        type='HybridClsHead',
        # Cross entropy without smoothing, as published; the sampling removes the prior.
        **linear_settings(head, 'loss', 'init_cfg', 'cal_acc', 'topk'),
        **own,
        loss_contrast=dict(type=contrast, **loss),
        # PyTorch's: that of a stock classifier would be that of the projector too
        init_cfg=None,
    )
    model = ModelChange((), dict(type='HybridClassifier', head=dict(_delete_=True, **new)))
    return merged_changes(
        [
            model,
            # the class-balanced image is one more view
            *with_num_views(cfg, num_views + 1),
            *without_mixed_images(cfg),
            _two_samplings(cfg, num_views),
        ]
    )


def _two_samplings(cfg: Config, num_views: int) -> ModelChange:
    parts = training_views(cfg)
    balanced = parts[0].pipeline(1)
    inherited = cfg.train_dataloader['dataset']
    dataset = copy.deepcopy(inherited)
    for part in parts:
        if part.pipeline(1) != balanced:
            raise refusal(
                '.'.join(map(str, ('train_dataloader', *part.path, 'pipeline'))),
                'the pipeline of the other data sets',
                'another one',
                'The class-balanced images of all data sets have one pipeline',
            )
        inner: Any = dataset
        for key in part.path[1:]:
            inner = inner[key]
        inner['pipeline'] = part.pipeline(num_views)
    same = dataset == inherited
    both = dict(
        type='DualSamplingDataset',
        dataset=Inherited(('train_dataloader', 'dataset')) if same else dataset,
        balanced_pipeline=balanced,
    )
    return ModelChange(('dataset',), dict(_delete_=True, **both), root='train_dataloader')
