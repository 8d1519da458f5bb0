"""Any MMPretrain classification config with GPaCo instead of its head, on two views."""

from __future__ import annotations

import os
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems import SYSTEMS
from paco_seg.core.checks import check_choice
from paco_seg.engine.model_changes import ModelChange, apply_changes, read_config

METHODS = ('gpaco',)
IMPORTS = SYSTEMS['gpaco'].imports
HOOKS = SYSTEMS['gpaco'].hooks  # fills class_prior='auto' and reports the scale of alpha


def swap_loss(
    cfg: Config | str | os.PathLike, *, method: str = 'gpaco', heads: str = 'main', **loss: Any
) -> Config:
    """Make a config like ``cfg`` that trains with GPaCo on two views of each image.

    Both views run through the augmentations of the config. Mixup and CutMix are switched off: a
    mixed image has no positives. The other systems are in :mod:`paco_seg.cls.systems`.

    Args:
        cfg: a config, a file, or a packaged config such as ``mmpretrain::resnet/....py``.
        method: key of ``METHODS``.
        heads: 'main'; a classifier has one head ('all' is the same).
        **loss: settings of the system ``gpaco``: of ``GPaCoLoss``, e.g. ``alpha=0.02``,
            ``class_prior=None``, and ``queue_size`` and ``projector`` of the head. Unless given,
            ``alpha`` is 'auto', which fits any number of classes and any queue; the fixed values
            of the paper belong to its recipes.

    Raises:
        ValueError: ``cfg`` is not an ``ImageClassifier`` with a linear head, or its training
            pipeline is not an ordinary one (with the reason).

    Example:
        >>> cfg = swap_loss('mmpretrain::resnet/resnet50_8xb32_in1k.py', alpha=0.02)
        >>> cfg.model.head.type
        'GPaCoClsHead'
    """
    if not isinstance(cfg, Config):
        cfg = read_config(cfg)
    changes = loss_changes(cfg, method=method, heads=heads, **loss)
    return apply_changes(cfg, changes, IMPORTS, HOOKS)


def loss_changes(
    cfg: Config, *, method: str = 'gpaco', heads: str = 'main', **loss: Any
) -> list[ModelChange]:
    """List what :func:`swap_loss` changes; same arguments and errors."""
    check_choice('method', method, METHODS)
    check_choice('heads', heads, ('main', 'all'))
    return SYSTEMS[method].changes(cfg, loss)


def advice(cfg: Config, *, method: str = 'gpaco', **loss: Any) -> list[str]:
    """List what to know before training: nothing, for the loss replaces that of the head."""
    return []
