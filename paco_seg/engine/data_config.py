"""Configs of either task, read for their data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from paco_seg.engine.cli import PLUGINS
from paco_seg.engine.model_changes import read_config
from paco_seg.engine.preflight import check_data_folders, expand_home, iter_datasets

# Scope -> its task, and what its data sets have.
TASKS = {
    'mmseg': ('segmentation', 'label maps'),
    'mmpretrain': ('classification', 'one label per image'),
}


def read_data_config(
    source: str, options: Mapping[str, Any] | None = None, *, to_inherit: bool = True
) -> tuple[Config, str]:
    """Read a config, import what its data sets need, and tell the task by its scope.

    Args:
        source: config file, or ``package::config``.
        options: settings that override the config.
        to_inherit: as of :func:`read_config`.

    Returns:
        The config, and ``'mmseg'`` or ``'mmpretrain'``; a config of data sets alone counts as one
        of segmentation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: ``default_scope`` is neither segmentation nor classification.
    """
    cfg = read_config(source, to_inherit=to_inherit)
    if options:
        cfg.merge_from_dict(dict(options))
    scope = cfg.get('default_scope', 'mmseg')
    if scope not in PLUGINS:
        raise ValueError(
            f"{source}: default_scope: expected 'mmseg' or 'mmpretrain', got {scope!r}. "
            'Inherit default_runtime.py of one of them, or set it'
        )
    import_modules_from_strings([PLUGINS[scope]])
    expand_home(cfg)
    return cfg, scope


def check_scope(cfg: Config, scope: str) -> None:
    """Refuse configs of the other task.

    Args:
        cfg: a complete config; one of data sets alone may have no scope.
        scope: key of ``TASKS``.

    Raises:
        ValueError: ``default_scope`` is set to another package.
    """
    found = cfg.get('default_scope', scope)
    if found != scope:
        task, labels = TASKS[scope]
        raise ValueError(
            f'default_scope: expected {scope!r}, whose data sets have {labels}, got {found!r}. '
            f'Pass a {task} config'
        )


def datasets_of(cfg: Config, loader: str, scope: str) -> Iterator[tuple[str, dict]]:
    """Yield key and config of the datasets of a loader, inside wrappers too.

    Args:
        cfg: a complete config.
        loader: e.g. ``'train_dataloader'``.
        scope: key of ``TASKS``.

    Raises:
        FileNotFoundError: a folder or list of the dataset does not exist.
        ValueError: the config is one of another task, or has no such loader.
    """
    check_scope(cfg, scope)
    if not cfg.get(loader):
        raise ValueError(f'{loader}: expected a dataloader, got none. Inherit a dataset config')
    check_data_folders(cfg, (loader,))
    yield from iter_datasets(cfg[loader].dataset, f'{loader}.dataset')


def sample_positions(size: int, number: int) -> list[int]:
    """Return at most ``number`` positions spread evenly over ``range(size)``, ascending."""
    number = min(size, number)
    return [position * size // number for position in range(number)]
