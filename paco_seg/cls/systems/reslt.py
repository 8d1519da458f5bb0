"""Three residual branches: for all classes, the medium and rare ones, the rare ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    IMPORTS,
    check_recipe,
    kind,
    linear_head,
    linear_settings,
    without_mixed_images,
)
from paco_seg.engine.model_changes import ModelChange, merged_changes
from paco_seg.engine.systems import SystemInputs, TrainingSystem

# Medium and tail classes, tail classes: shares of the recipe of CIFAR-100-LT.
SHARES = (0.65, 0.3)


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """Return the head, which pools instead of the neck where it gets a map, without Mixup."""
    head = linear_head(cfg)
    check_recipe(cfg, 'loss')
    neck = cfg.model.get('neck')
    is_map = isinstance(neck, dict) and kind(neck) == 'GlobalAveragePooling'
    is_map = is_map and neck.get('dim', 2) == 2
    loss = dict(settings)
    if loss['groups'] is None:
        loss['groups'] = [round(share * head['num_classes']) for share in SHARES]
    new = dict(
        type='ResLTClsHead',
        **linear_settings(head, 'loss', 'init_cfg', 'cal_acc', 'topk'),
        branch='conv',
        loss=dict(type='ResLTLoss', **loss),
        # of the 1x1 convolution; the classifier has PyTorch's
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'),
    )
    model: dict[str, Any] = dict(neck=None)
    if not is_map:
        # A backbone that pools, or another neck: the branches see the pooled feature.
        new['pool_first'], model = True, {}
    model['head'] = dict(_delete_=True, **new)
    return merged_changes([ModelChange((), model), *without_mixed_images(cfg)])


SYSTEM = TrainingSystem(
    name='reslt',
    title='ResLT',
    paper='Cui et al., ResLT: Residual Learning for Long-tailed Recognition, TPAMI 2022 (arXiv '
    '2101.10633)',
    summary='light branches for all, medium and rare, and rare classes, whose logits add up',
    change=change,
    imports=IMPORTS,
    hooks=('ClassCountHook',),
    settings=dict(groups=None, alpha=0.99, class_counts='auto'),
    search=dict(alpha=(0.9, 0.99)),
    inference='three 1x1 convolutions on the last map and three classifications',
)
