"""Configs of either task, read for their data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from paco_seg.engine.cli import PLUGINS
from paco_seg.engine.model_changes import read_config


def read_data_config(source: str, options: Mapping[str, Any] | None = None) -> tuple[Config, str]:
    """Read a config, import what its data sets need, and tell the task by its scope.

    Args:
        source: config file, or ``package::config``.
        options: settings that override the config.

    Returns:
        The config, and ``'mmseg'`` or ``'mmpretrain'``; a config of data sets alone counts as one
        of segmentation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: ``default_scope`` is neither segmentation nor classification.
    """
    cfg = read_config(source)
    if options:
        cfg.merge_from_dict(dict(options))
    scope = cfg.get('default_scope', 'mmseg')
    if scope not in PLUGINS:
        raise ValueError(
            f"{source}: default_scope: expected 'mmseg' or 'mmpretrain', got {scope!r}. "
            'Inherit default_runtime.py of one of them, or set it'
        )
    import_modules_from_strings([PLUGINS[scope]])
    return cfg, scope


def sample_positions(size: int, number: int) -> list[int]:
    """Return at most ``number`` positions spread evenly over ``range(size)``, ascending."""
    number = min(size, number)
    return [position * size // number for position in range(number)]
