"""What the commands of ``paco_seg.cli`` share: arguments, and from a file to a config."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from paco_seg import compat
from paco_seg.engine.checkpoint import set_safe_loading
from paco_seg.engine.config_file import parse_config
from paco_seg.engine.config_kinds import check_kinds
from paco_seg.engine.config_options import ConfigOptions
from paco_seg.engine.launch import check_local_rank, prepare_launch
from paco_seg.engine.model_changes import type_name
from paco_seg.engine.preflight import check_work_dir_is_path, expand_home, iter_datasets
from paco_seg.engine.pure_python_config import with_names
from paco_seg.engine.staged_runner import StagedFlexibleRunner, StagedRunner, StagedTestRunner
from paco_seg.engine.stages import stage
from paco_seg.engine.strategies import check_strategy, use_strategy

# default_scope of a config -> the plugins that serve it.
PLUGINS = {'mmseg': 'paco_seg.seg', 'mmpretrain': 'paco_seg.cls'}
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def add_common_arguments(parser: ArgumentParser) -> None:
    """Adds the arguments that MM users know from every tool, and ``--allow-pickle``."""
    parser.add_argument('--work-dir', help='folder of logs, checkpoints and metrics')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='settings that override the config, as key=value; nested keys by dots, lists as '
        'key="[a,b]" or key=a,b, no blanks inside; a text with blanks or commas as key==text',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    add_allow_pickle(parser)
    # torch.distributed.launch passes it; torchrun sets the variable instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add what :func:`load_config` reads for a command that trains and tests nothing."""
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help='as in paco-seg train'
    )
    add_allow_pickle(parser)
    parser.set_defaults(launcher='none', work_dir=None, local_rank=0)


def add_allow_pickle(parser: ArgumentParser) -> None:
    """Add ``--allow-pickle``."""
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read checkpoints that contain code, and run it: only for files you trust',
    )


def check_checkpoint(path: str, key: str = 'checkpoint') -> None:
    """Refuse a checkpoint that is not there, before anything is built.

    Raises:
        FileNotFoundError: names the argument ``key`` and the path.
    """
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(f'{key}: expected an existing file, got {path!r}')


def load_config(args: Namespace, config: str | None = None) -> Config:
    """Reads the config file of a tool's arguments and applies those that all tools share.

    Args:
        args: ``config`` and the arguments of :func:`add_common_arguments`.
        config: another file than ``args.config``.

    Returns:
        The config with plugins imported, ``launcher`` and ``work_dir`` set.

    Raises:
        FileNotFoundError: there is no such config.
        ValueError: its ``default_scope`` is neither segmentation nor classification, or a module
            that it imports is not there.
    """
    compat.setup()
    config = args.config if config is None else config
    check_local_rank()
    set_safe_loading(args.allow_pickle)
    packaged = '::' in config
    file = Config._get_cfg_path(config, '')[0] if packaged else config
    if not Path(file).is_file():
        raise FileNotFoundError(
            f'config: expected an existing file, got {config!r}. The path is relative to '
            f'{os.getcwd()}'
        )
    with stage(f'while reading {config}'):
        cfg = parse_config(file)
    if args.cfg_options:
        with stage('while applying --cfg-options'):
            cfg.merge_from_dict(args.cfg_options)
    scope = scope_of(cfg, config)
    compat.require('mmengine', 'mmcv', scope)
    import_modules_from_strings([PLUGINS[scope]])
    cfg = with_names(cfg)
    check_kinds(cfg, config)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(config).stem)
    # A shell leaves `--work-dir=~/runs` as it is, and MMEngine makes a folder of that name.
    check_work_dir_is_path(cfg.work_dir)
    cfg.work_dir = os.path.expanduser(cfg.work_dir)
    expand_home(cfg)
    _complete_loaders(cfg)
    return cfg


def scope_of(cfg: Config, source: str) -> str:
    """Return the package that a config is for.

    Raises:
        ValueError: its ``default_scope`` is neither segmentation nor classification.
    """
    scope = cfg.get('default_scope')
    if scope not in PLUGINS:
        raise ValueError(
            f"{source}: default_scope: expected 'mmseg' or 'mmpretrain', got {scope!r}. Inherit "
            'default_runtime.py of one of them, or set it'
        )
    return scope


def weights_of(
    checkpoint: Any, source: str, *, keys: Sequence[str] = ('state_dict',), bare: bool = False
) -> dict:
    """Return the named tensors of a checkpoint.

    Args:
        checkpoint: content of the file.
        source: the file, for errors.
        keys: entries that may hold the tensors, in order.
        bare: whether the checkpoint itself may be the tensors by name.

    Raises:
        ValueError: there are none.
    """
    weights = checkpoint
    if isinstance(checkpoint, dict):
        weights = next((checkpoint[key] for key in keys if checkpoint.get(key) is not None), None)
        weights = checkpoint if weights is None and bare else weights
    if not isinstance(weights, dict):
        found = 'none' if weights is None else f'a value of type {type(weights).__name__}'
        raise ValueError(
            f'{source}: {keys[0]}: expected weights, got {found}. Take a checkpoint of a training'
        )
    return weights


def _complete_loaders(cfg: Config) -> None:
    """Adds the loader settings that MMPretrain leaves to its tools; repairs one for all."""
    for name in LOADERS:
        loader = cfg.get(name)
        if loader is None:
            continue
        if cfg.default_scope == 'mmpretrain':
            loader.setdefault('pin_memory', torch.cuda.is_available())
            loader.setdefault('persistent_workers', True)
            loader.setdefault('collate_fn', dict(type='default_collate'))
        if loader.get('num_workers', 0) == 0:
            # PyTorch refuses persistence without workers, and --cfg-options changes only one.
            loader.persistent_workers = False


def require_keys(cfg: Config, source: str, keys: Sequence[str]) -> None:
    """Checks that a config has what a tool is about to use.

    Raises:
        ValueError: names the first absent key and the file.
    """
    for key in keys:
        if cfg.get(key) is None:
            raise ValueError(
                f'{source}: {key}: expected a setting, got none. Add it, or inherit a complete '
                'config'
            )


def add_hook(cfg: Config, **hook: Any) -> None:
    """Adds a hook to ``custom_hooks`` unless the config has one of its type already."""
    hooks = list(cfg.get('custom_hooks') or [])
    if all(type_name(other) != hook['type'] for other in hooks):
        cfg.custom_hooks = [*hooks, hook]


def build_runner(cfg: Config, *, to_test: bool = False) -> Runner:
    """Builds the Runner that the config asks for, launched for this machine.

    Args:
        cfg: the complete config.
        to_test: whether it tests, in what may be the folder of a training.

    Raises:
        ValueError: the strategy of a ``FlexibleRunner`` cannot be used as the config has it.
    """
    check_strategy(cfg)
    prepare_launch(cfg)
    kind = cfg.get('runner_type', 'Runner')
    if kind == 'FlexibleRunner':
        use_strategy(cfg)
    staged = {
        'Runner': StagedTestRunner if to_test else StagedRunner,
        'FlexibleRunner': StagedFlexibleRunner,
    }
    return staged[kind].from_cfg(cfg) if kind in staged else RUNNERS.build(cfg)


def use_test_time_augmentation(cfg: Config, source: str) -> None:
    """Puts ``tta_model`` around the model and ``tta_pipeline`` into the test loader.

    A classification config without them is averaged over horizontal flips, as MMPretrain does.

    Raises:
        ValueError: a segmentation config lacks one of the two.
    """
    # Those inside of ConcatDataset and the like: a wrapper has no pipeline.
    datasets = [
        part for _, part in iter_datasets((cfg.get('test_dataloader') or {}).get('dataset'), '')
    ]
    if cfg.default_scope == 'mmpretrain':
        pipeline = datasets[0]['pipeline']
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        views = dict(type='TestTimeAug', transforms=[flips, [pipeline[-1]]])
        cfg.setdefault('tta_model', dict(type='mmpretrain.AverageClsScoreTTA'))
        cfg.setdefault('tta_pipeline', [*deepcopy(pipeline[:-1]), views])
    for key in ('tta_model', 'tta_pipeline'):
        if cfg.get(key) is None:
            raise ValueError(
                f'{source}: {key}: expected a setting, since --tta was given, got none. Add it, '
                'or leave --tta out'
            )
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    for dataset in datasets:
        dataset['pipeline'] = deepcopy(cfg.tta_pipeline)
