"""Checks of a config against the disk, before a model is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def check_data_folders(cfg: Config, loaders: Sequence[str]) -> None:
    """Checks that the folders and annotation files a config names exist.

    Looks at ``data_root``, ``data_prefix`` and ``ann_file`` of every dataset, inside wrappers
    too. Remote data (``backend_args``, ``s3://``) and datasets that download themselves are
    passed over.

    Args:
        cfg: the complete config.
        loaders: names of the dataloaders that will be used, such as ``'train_dataloader'``.

    Raises:
        FileNotFoundError: names the config key, the path and what to do.
    """
    for loader in loaders:
        dataset = (cfg.get(loader) or {}).get('dataset')
        for key, config in iter_datasets(dataset, f'{loader}.dataset'):
            _check_dataset(key, config, cfg.get('default_scope'))


def iter_datasets(config: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Walks through dataset wrappers (RepeatDataset, ConcatDataset, ...) to the datasets."""
    if isinstance(config, (list, tuple)):
        for number, child in enumerate(config):
            yield from iter_datasets(child, f'{key}[{number}]')
    elif isinstance(config, dict):
        inner = [name for name in ('dataset', 'datasets') if name in config]
        for name in inner:
            yield from iter_datasets(config[name], f'{key}.{name}')
        if not inner:
            yield key, config


def _check_dataset(key: str, config: dict, scope: str | None) -> None:
    if config.get('backend_args') or config.get('file_client_args') or downloads(config, scope):
        return
    root = config.get('data_root') or ''
    prefix = config.get('data_prefix') or {}
    if isinstance(prefix, dict):
        folders = {f'data_prefix.{name}': folder for name, folder in prefix.items()}
    else:
        folders = {'data_prefix': prefix}
    if root:
        _check_path(f'{key}.data_root', '', root, is_folder=True)
    for name, folder in folders.items():
        if folder:
            _check_path(f'{key}.{name}', root, folder, is_folder=True)
    if config.get('ann_file'):
        _check_path(f'{key}.ann_file', root, config['ann_file'], is_folder=False)


def downloads(config: dict, scope: str | None) -> bool:
    """Whether a dataset fetches its files itself."""
    cls = config['type']
    if isinstance(cls, str):
        with DATASETS.switch_scope_and_registry(scope) as registry:
            cls = registry.get(cls)
    parameters = inspect.signature(cls).parameters if cls is not None else {}
    return 'download' in parameters and bool(config.get('download', parameters['download'].default))


def _check_path(key: str, root: str, value: str, *, is_folder: bool) -> None:
    if '://' in root or '://' in value:
        return
    path = Path(root).expanduser() / Path(value).expanduser()
    if path.is_dir() if is_folder else path.exists():
        return
    wanted = 'folder' if is_folder else 'file'
    hint = f' (data_root={root!r})' if root and not Path(value).is_absolute() else ''
    raise FileNotFoundError(
        f'{key}: expected an existing {wanted}, got {str(path)!r}{hint}. Prepare the data set '
        'there, or set the key (--cfg-options works too)'
    )


def sample_positions(size: int, number: int) -> list[int]:
    """Return at most ``number`` positions spread evenly over ``range(size)``, ascending."""
    number = min(size, number)
    return [position * size // number for position in range(number)]
