"""What the systems with projector, key queue and two views have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.own_settings import checked_settings
from paco_seg.cls.systems.stock_classifier import (
    check_recipe,
    linear_head,
    without_mixed_images,
)
from paco_seg.cls.systems.training_views import with_views
from paco_seg.engine.model_changes import ModelChange, merged_changes

QUEUE_SIZE = 8192  # of the heads
# Settings of the head; all others are those of its loss.
HEAD_SETTINGS = ('queue_size', 'projector')


def contrastive_changes(
    name: str,
    cfg: Config,
    model: Mapping[str, Any],
    head: str,
    loss: str,
    settings: Mapping[str, Any],
) -> list[ModelChange]:
    """Return classifier, head, two views and no mixed images.

    Args:
        name: of the system.
        cfg: complete config with a linear head.
        model: type and own settings of the classifier.
        head: type of the head.
        loss: type of its loss.
        settings: of the loss and, by ``HEAD_SETTINGS``, of the head. ``queue_size=None`` is the
            default of the head, or the images of a step if these are more.

    Raises:
        ValueError: the config cannot be served, or a setting is unknown.
    """
    stock = linear_head(cfg)
    check_recipe(cfg, 'loss')
    # Those of the classifier are known as well, though they have been taken out.
    of_model = [key for key in model if key != 'type']
    settings = checked_settings(name, settings, loss, (*HEAD_SETTINGS, *of_model))
    own = {key: settings[key] for key in HEAD_SETTINGS if settings.get(key) is not None}
    step = (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or 0
    if step > QUEUE_SIZE:
        own.setdefault('queue_size', step)
    new = dict(
        type=head,
        num_classes=stock['num_classes'],
        in_channels=stock['in_channels'],
        **own,
        loss=dict(
            type=loss,
            **{key: value for key, value in settings.items() if key not in HEAD_SETTINGS},
        ),
    )
    changes = [ModelChange((), dict(model, head=dict(_delete_=True, **new)))]
    return merged_changes([*changes, *with_views(cfg, 2), *without_mixed_images(cfg)])
