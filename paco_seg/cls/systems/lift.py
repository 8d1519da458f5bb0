"""Light fine-tuning: adapters and a cosine classifier on a frozen, pretrained transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from paco_seg.cls.compared.lift_classifier import TRANSFORMERS
from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    check_recipe,
    linear_head,
    linear_settings,
    without_mixed_images,
    without_other_weights,
)
from paco_seg.cls.systems.training_views import with_views
from paco_seg.engine.model_changes import ModelChange, merged_changes, starts_from_weights
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem, refusal


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return classifier and head; one view, no mixed images; optimizer and schedule stay.

    Raises:
        ValueError: the backbone is no vision transformer or has no pretrained weights, or the head
            is not linear.
    """
    head = linear_head(cfg)
    check_recipe(cfg, 'loss')
    name = cfg.model.backbone.get('type')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmpretrain'):
        backbone = name if isinstance(name, type) else MODELS.get(name)
    if not (isinstance(backbone, type) and issubclass(backbone, TRANSFORMERS)):
        raise refusal(
            'model.backbone.type',
            'a plain vision transformer, such as VisionTransformer, DeiT3 or BEiTViT',
            name,
            'The adapters go into the blocks of one that is pretrained: choose such a config',
        )
    weights = settings['weights'] or inputs.weights
    if weights is None and not starts_from_weights(cfg):
        raise refusal(
            'lift.weights',
            'a checkpoint with this vision transformer, for the config has no pretrained weights',
            None,
            'It stays as it is in the training: give --weights FILE, or model.backbone.init_cfg',
        )
    new = dict(
        type='LIFTClsHead',
        **linear_settings(head, 'loss', 'init_cfg', 'cal_acc', 'topk'),
        scale=settings['scale'],
        start=settings['start'],
        loss=dict(type='BalancedSoftmaxLoss', class_prior=settings['class_prior']),
    )
    model: dict[str, Any] = dict(type='LIFTClassifier', head=dict(_delete_=True, **new))
    if settings['adapter_width'] is not None:
        model['adapter_width'] = settings['adapter_width']
    changes = [*with_views(cfg, 1), *without_mixed_images(cfg), *_without_random_start(cfg)]
    if weights is not None:
        model['stage_one'] = weights
        changes += without_other_weights(cfg)
    return merged_changes([ModelChange((), model), *changes])


def _without_random_start(cfg: Config) -> list[ModelChange]:
    """Return what keeps a random ``init_cfg`` of the whole model off what starts otherwise.

    Adapters start at zero, and the rows of the classifier have length 1.
    """
    own = cfg.model.get('init_cfg')
    listed = list(own) if isinstance(own, (list, tuple)) else [own] if own else []
    kept = [part for part in listed if part.get('type') == 'Pretrained']
    return [] if len(kept) == len(listed) else [ModelChange((), dict(init_cfg=kept or None))]


SYSTEM = TrainingSystem(
    name='lift',
    title='LIFT',
    paper='Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts, ICML '
    '2024 (arXiv 2309.10019)',
    summary='a frozen vision transformer: an adapter per block and a cosine classifier '
    'with the log prior learn; its rows start from class means',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook', 'ClassMeanStartHook'),
    settings=dict(
        weights=None, adapter_width=None, scale=25.0, start='class-mean', class_prior='auto'
    ),
    search=dict(scale=(25.0, 30.0)),
    needs=Needs(pretrained_transformer=True),
    inference='two thin linear layers in each block',
)
