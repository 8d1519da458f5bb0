"""Checks of a config, and of what it names, before a model is built."""

from __future__ import annotations

import difflib
import inspect
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies, proxy_bypass

from mmengine.config import Config
from mmengine.registry import DATASETS, OPTIMIZERS
from mmengine.runner.checkpoint import (
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch.hub import get_dir

from paco_seg.files import check_folder

INNER = ('dataset', 'datasets')  # where a wrapper has what it is around
LOG_LEVELS = ('NOTSET', 'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR', 'FATAL', 'CRITICAL')


def check_data_folders(cfg: Config, loaders: Sequence[str]) -> None:
    """Checks that datasets have a type, and that the folders and files they name exist.

    Looks at ``data_root``, ``data_prefix`` and ``ann_file`` of every dataset, inside wrappers
    too. Remote data (``backend_args``, ``s3://``) and datasets that download themselves are
    passed over.

    Args:
        cfg: the complete config.
        loaders: names of the dataloaders that will be used, such as ``'train_dataloader'``.

    Raises:
        FileNotFoundError: names the config key, the path and what to do.
        ValueError: a dataset or wrapper has no ``type``.
    """
    for loader in loaders:
        dataset = (cfg.get(loader) or {}).get('dataset')
        _check_types(dataset, f'{loader}.dataset', cfg.get('default_scope'))
        for key, config in iter_datasets(dataset, f'{loader}.dataset'):
            _check_dataset(key, config, cfg.get('default_scope'))


def walk_datasets(config: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Yield key and config of each dataset and of each wrapper, which comes before its datasets."""
    if isinstance(config, (list, tuple)):
        for number, child in enumerate(config):
            yield from walk_datasets(child, f'{key}[{number}]')
    elif isinstance(config, dict):
        yield key, config
        for name in INNER:
            yield from walk_datasets(config.get(name), f'{key}.{name}')


def is_wrapper(config: Mapping[str, Any]) -> bool:
    """Tell whether a dataset is around others (RepeatDataset, ConcatDataset, ...)."""
    return any(name in config for name in INNER)


def iter_datasets(config: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Walks through dataset wrappers (RepeatDataset, ConcatDataset, ...) to the datasets."""
    return (found for found in walk_datasets(config, key) if not is_wrapper(found[1]))


def kind_of(config: Mapping[str, Any]) -> str:
    """Return the name of the class of a dataset, without its scope."""
    kind = config.get('type')
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else getattr(kind, '__name__', '')


def dataset_class(config: Mapping[str, Any], scope: str | None) -> Any:
    """Return the class of a dataset as the registry of the scope has it; None if it has none."""
    kind = config.get('type')
    if not isinstance(kind, str):
        return kind
    with DATASETS.switch_scope_and_registry(scope) as registry:
        return registry.get(kind)


def repetitions(config: Any, key: str) -> dict[str, int]:
    """Return how often one pass delivers each dataset, by the keys of :func:`iter_datasets`.

    Relative to each other: where all are repeated alike, which makes an epoch longer and changes
    nothing else, they are delivered once.
    """
    repeats = {
        f'{place}.': part['times']
        for place, part in walk_datasets(config, key)
        if kind_of(part) == 'RepeatDataset' and isinstance(part.get('times'), int)
    }
    found = {
        place: math.prod(times for around, times in repeats.items() if place.startswith(around))
        for place, _ in iter_datasets(config, key)
    }
    common = math.gcd(*found.values()) or 1
    return {place: times // common for place, times in found.items()}


def _check_types(config: Any, key: str, scope: str | None) -> None:
    """Refuse a dataset or wrapper without ``type``; nothing else can be said about it."""
    for place, part in walk_datasets(config, key):
        if part.get('type') is None:
            example = 'CustomDataset' if scope == 'mmpretrain' else 'BaseSegDataset'
            raise ValueError(
                f'{place}.type: expected a registered dataset, got none. Set it, e.g. to '
                f'{example!r}: _delete_=True drops the type that was inherited too'
            )


def expand_home(cfg: Config) -> None:
    """Put the home folder in the place of ``~``, as MMPretrain does and MMSegmentation does not."""
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for _, dataset in iter_datasets((cfg.get(loader) or {}).get('dataset'), loader):
            if str(dataset.get('data_root')).startswith('~'):
                dataset['data_root'] = os.path.expanduser(dataset['data_root'])


def _check_dataset(key: str, config: dict, scope: str | None) -> None:
    if config.get('backend_args') or config.get('file_client_args') or downloads(config, scope):
        return
    root = config.get('data_root') or ''
    if root:
        _check_path(f'{key}.data_root', '', root, is_folder=True)
    for name, folder in data_folders(config).items():
        _check_path(f'{key}.{name}', root, folder, is_folder=True)
    if config.get('ann_file'):
        _check_path(f'{key}.ann_file', root, config['ann_file'], is_folder=False)


def iter_metrics(evaluator: Any) -> Iterator[dict]:
    """Yield the metrics of an evaluator of a config.

    Args:
        evaluator: a metric, a list of them, or an ``Evaluator`` with ``metrics``.
    """
    if isinstance(evaluator, (list, tuple)):
        for one in evaluator:
            yield from iter_metrics(one)
    elif isinstance(evaluator, dict) and 'metrics' in evaluator:
        yield from iter_metrics(evaluator['metrics'])
    elif isinstance(evaluator, dict):
        yield evaluator


def data_folders(config: dict) -> dict[str, str]:
    """Key of each folder that a dataset reads from -> the folder, below its ``data_root``."""
    prefix = config.get('data_prefix') or {}
    if isinstance(prefix, dict):
        folders = {f'data_prefix.{name}': folder for name, folder in prefix.items()}
    else:
        folders = {'data_prefix': prefix}
    return {key: folder for key, folder in folders.items() if folder}


def downloads(config: dict, scope: str | None) -> bool:
    """Whether a dataset fetches its files itself."""
    cls = dataset_class(config, scope)
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


def check_settings(cfg: Config) -> None:
    """Refuse values of a training that end late in a foreign message, or spoil it silently.

    Args:
        cfg: the complete config; ``load_config`` has set ``work_dir``.

    Raises:
        ValueError: names the config key, the value, what is expected and what to change.
    """
    loop = cfg.get('train_cfg') or {}
    for name, low in (('max_iters', 1), ('max_epochs', 1), ('val_interval', 1), ('val_begin', 0)):
        if loop.get(name) is not None:
            _check_whole(f'train_cfg.{name}', loop[name], low)
    steps = (cfg.get('optim_wrapper') or {}).get('accumulative_counts')
    if steps is not None:
        _check_whole('optim_wrapper.accumulative_counts', steps, 1)
    level = cfg.get('log_level')
    if level is not None and level not in LOG_LEVELS and not isinstance(level, int):
        raise ValueError(f'log_level: expected one of {", ".join(LOG_LEVELS)}, got {level!r}')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        check_loader(name, cfg.get(name))
    _check_optimizer(cfg)
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if checkpoint.get('interval', -1) != -1:
        _check_whole('default_hooks.checkpoint.interval', checkpoint['interval'], 1)
    if 'max_keep_ckpts' in checkpoint:  # -1 = all; None is no number to MMEngine
        _check_whole('default_hooks.checkpoint.max_keep_ckpts', checkpoint['max_keep_ckpts'], -1)
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None:
        _check_whole('randomness.seed', seed, 0, 2**32 - 1)
    _check_num_classes(cfg)
    _check_in_index(cfg)
    _check_size(cfg)
    check_imports(cfg)
    check_work_dir(cfg.get('work_dir'))


def check_loader(name: str, loader: dict | None) -> None:
    """Check the numbers of a dataloader."""
    if not loader:
        return
    if loader.get('batch_size') is not None:
        _check_whole(f'{name}.batch_size', loader['batch_size'], 1)
    if loader.get('num_workers') is not None:
        _check_whole(f'{name}.num_workers', loader['num_workers'], 0)


def check_imports(cfg: Config) -> None:
    """Import what ``custom_imports`` names; ``--cfg-options`` may have set it after the reading."""
    settings = cfg.get('custom_imports') or {}
    names = settings.get('imports') or []
    for name in [names] if isinstance(names, str) else names:
        try:
            import_module(name)
        except ImportError as error:
            if not settings.get('allow_failed_imports', False):
                raise ValueError(
                    f'custom_imports.imports: expected modules that can be imported, got {name!r} '
                    f'({error}). Install it, or set PYTHONPATH to its folder'
                ) from error


def check_work_dir_is_path(work_dir: Any) -> None:
    """Refuse what is no path, such as a number of ``--cfg-options``."""
    if not isinstance(work_dir, (str, os.PathLike)):
        raise ValueError(f'work_dir: expected the path of a folder, got {work_dir!r}')


def check_work_dir(work_dir: str | None, key: str = 'work_dir') -> None:
    """Refuse a folder that cannot be written to."""
    if work_dir:
        check_folder(Path(work_dir).expanduser(), key=key)


def _check_whole(key: str, value: Any, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and least <= value and (most is None or value <= most):
        return
    wanted = f'of at least {least}' if most is None else f'from {least} to {most}'
    raise ValueError(f'{key}: expected a whole number {wanted}, got {value!r}. Set the key')


def _check_optimizer(cfg: Config) -> None:
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer')
    if not isinstance(optimizer, dict):
        return
    key = 'optim_wrapper.optimizer'
    lr = optimizer.get('lr')
    # Beyond any learning rate that somebody trains with; typos are in the exponent.
    if lr is not None and not (
        isinstance(lr, (int, float)) and not isinstance(lr, bool) and 0 <= lr <= 1000
    ):
        raise ValueError(f'{key}.lr: expected a number from 0 to 1000, got {lr!r}. Set the key')
    kind = optimizer.get('type')
    if not isinstance(kind, str):
        return
    with OPTIMIZERS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        if registry.get(kind) is not None:
            return
        close = difflib.get_close_matches(kind, OPTIMIZERS.module_dict, n=3, cutoff=0.3)
    advice = f'Did you mean {" or ".join(close)}?' if close else 'Import it with custom_imports'
    raise ValueError(f'{key}.type: expected a registered optimizer, got {kind!r}. {advice}')


def _heads(model: Any, names: Sequence[str]) -> Iterator[tuple[str, dict]]:
    """Key and config of each head under these names, of cascades too."""
    for name in names:
        heads = model.get(name) if isinstance(model, dict) else None
        places = {f'model.{name}': heads}
        if isinstance(heads, (list, tuple)):
            places = {f'model.{name}[{number}]': head for number, head in enumerate(heads)}
        for place, head in places.items():
            if isinstance(head, dict):
                yield place, head


def _check_num_classes(cfg: Config) -> None:
    for place, head in _heads(cfg.get('model'), ('decode_head', 'auxiliary_head', 'head')):
        if head.get('num_classes') is not None:
            _check_whole(f'{place}.num_classes', head['num_classes'], 1)


def _check_in_index(cfg: Config) -> None:
    """Compare the features that heads take with those that the backbone returns.

    Only where the config says how many there are: a backbone with ``out_indices``, no neck.
    """
    model = cfg.get('model')
    if not isinstance(model, dict) or model.get('neck') is not None:
        return
    backbone = model.get('backbone')
    outputs = backbone.get('out_indices') if isinstance(backbone, dict) else None
    if not isinstance(outputs, (list, tuple)):
        return
    for place, head in _heads(model, ('decode_head', 'auxiliary_head')):
        given = head.get('in_index', -1)
        for index in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(index, int) and not -len(outputs) <= index < len(outputs):
                raise ValueError(
                    f'{place}.in_index: expected indices below {len(outputs)}, since '
                    f'model.backbone.out_indices={tuple(outputs)} gives that many features, got '
                    f'{given!r}. Change in_index, or add the stage to out_indices'
                )


def _check_size(cfg: Config) -> None:
    model = cfg.get('model')
    preprocessor = (model or {}).get('data_preprocessor') if isinstance(model, dict) else None
    size = preprocessor.get('size') if isinstance(preprocessor, dict) else None
    if size is None:
        return
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise ValueError(
            f'model.data_preprocessor.size: expected (height, width), got {size!r}. Set it to the '
            'crop size'
        )
    for side in size:
        _check_whole('model.data_preprocessor.size', side, 1)


# Seconds to wait for a host: longer than any that will deliver a checkpoint needs to answer.
PATIENCE = 5


def check_downloads(cfg: Config) -> None:
    """Refuse weights that would have to be downloaded where there is no network.

    MMEngine would first build the model and log it for hundreds of lines.

    Raises:
        ValueError: names the key, the address and the remedy.
    """
    addresses = dict(_addresses(cfg.get('model'), 'model'))
    if isinstance(cfg.get('load_from'), str):
        addresses['load_from'] = cfg.load_from
    hosts: dict[str, str] = {}
    for key, address in addresses.items():
        url = _download_url(address)
        if (
            url is None
            or (Path(get_dir()) / 'checkpoints' / Path(urlparse(url).path).name).exists()
        ):
            continue
        host = urlparse(url).netloc
        if host not in hosts:
            hosts[host] = _unreachable(url)
        if hosts[host]:
            remedy = '=None' if key != 'load_from' else ' aside'
            raise ValueError(
                f'{key}: expected a file or an address within reach, got {address!r} '
                f'({hosts[host]}).\nSet {key}{remedy}, or to the path of a file'
            )


def _addresses(part: Any, key: str) -> Iterator[tuple[str, str]]:
    """Keys and values of ``pretrained`` and of ``init_cfg`` of the type ``Pretrained``."""
    if isinstance(part, dict):
        for name, value in part.items():
            pretrained = name == 'pretrained' or (
                name == 'checkpoint' and part.get('type') == 'Pretrained'
            )
            if pretrained and isinstance(value, str):
                yield (key if name == 'checkpoint' else f'{key}.{name}'), value
            else:
                yield from _addresses(value, f'{key}.{name}')
    elif isinstance(part, (list, tuple)):
        for number, value in enumerate(part):
            yield from _addresses(value, f'{key}[{number}]')


def _download_url(address: str) -> str | None:
    """URL of an address with a scheme of MMEngine's; None for files and other schemes."""
    scheme, _, name = address.partition('://')
    if scheme in ('http', 'https'):
        return address
    tables = {
        'torchvision': get_torchvision_models,
        'modelzoo': get_torchvision_models,
        'open-mmlab': get_external_models,
        'openmmlab': get_external_models,
        'mmcls': get_mmcls_models,
    }
    url = tables[scheme]().get(name) if scheme in tables else None
    return url if isinstance(url, str) and url.startswith('http') else None


def _unreachable(url: str) -> str:
    """Why the host of a URL, or the proxy before it, does not answer; empty if it does."""
    parts = urlparse(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ''):
        parts = urlparse(proxy if '://' in proxy else f'http://{proxy}')
    port = parts.port or (443 if parts.scheme == 'https' else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=PATIENCE).close()
    except OSError as error:
        return f'{parts.hostname}: {error.strerror or error}'
    return ''
