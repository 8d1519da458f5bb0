"""What BCL and ProCo have in common: a view for the classifier, two for the contrast."""

from __future__ import annotations

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
from paco_seg.cls.systems.training_views import with_views
from paco_seg.engine.model_changes import ModelChange, merged_changes

# Settings of the head, and of the classifier's loss; all others are those of the contrast.
HEAD_SETTINGS = ('projector', 'scale')
NUM_VIEWS = 3


def three_view_changes(
    name: str, cfg: Config, head: str, contrast: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[ModelChange]:
    """Return classifier, head, three views and no mixed images.

    Args:
        name: of the system.
        cfg: complete config with a linear head.
        head: type of the head.
        contrast: config of its contrast, without the further ``settings``.
        settings: of the contrast and, by ``HEAD_SETTINGS``, of the head; ``class_prior`` is that of
            the classifier's loss.

    Raises:
        ValueError: the head is not linear, the training pipeline cannot be extended, or a setting
            is unknown.
    """
    stock = linear_head(cfg)
    check_recipe(cfg, 'loss')
    further = checked_settings(name, settings, contrast['type'], (*HEAD_SETTINGS, 'class_prior'))
    prior = further.pop('class_prior')
    own = {key: further.pop(key) for key in HEAD_SETTINGS}
    new = dict(
        type=head,
        **linear_settings(stock, 'loss', 'init_cfg', 'cal_acc', 'topk'),
        **{key: value for key, value in own.items() if value is not None},
        loss=dict(type='BalancedSoftmaxLoss', class_prior=prior),
        loss_contrast=dict(contrast, **further),
        # PyTorch's: that of a stock classifier would be that of the projector too
        init_cfg=None,
    )
    model = dict(type='GPaCoClassifier', joint_pass=True, head=dict(_delete_=True, **new))
    return merged_changes(
        [ModelChange((), model), *with_views(cfg, NUM_VIEWS), *without_mixed_images(cfg)]
    )
