"""Train a segmentor or a classifier; the config decides which.

    paco-seg train CONFIG [--work-dir DIR] [--resume [auto|CHECKPOINT]] [--amp] ...

On several GPUs, or CPU processes: ``tools/dist_train.sh`` and ``tools/slurm_train.sh``.
"""

import argparse

import torch
from mmengine.config import Config

from paco_seg.engine.cli import (
    add_common_arguments,
    build_runner,
    load_config,
    require_keys,
)
from paco_seg.engine.model_changes import mmengine_name
from paco_seg.engine.preflight import check_data_folders, check_downloads, check_settings
from paco_seg.engine.required_hooks import register_required_hooks
from paco_seg.engine.resume import last_checkpoint, use_resume, way_back
from paco_seg.engine.safeguards import guard_training
from paco_seg.engine.staged_runner import leave_config
from paco_seg.engine.stages import Interrupted
from paco_seg.engine.strategies import check_strategy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from a checkpoint; without a path (or "auto") from the latest one in the '
        'work directory, from the start if there is none',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the actual over the base batch size',
    )
    add_common_arguments(parser)


def use_amp(cfg: Config) -> None:
    """Switches to ``AmpOptimWrapper``, which runs on accelerators only."""
    kind = mmengine_name(cfg.optim_wrapper, 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f"optim_wrapper.type: expected 'OptimWrapper', since --amp was given, got {kind!r}. "
            'Leave --amp out, or set the type'
        )
    if not torch.cuda.is_available():
        raise ValueError(
            '--amp: expected a GPU, got none: AmpOptimWrapper does not run on the CPU. Leave it out'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def use_auto_scale_lr(cfg: Config, source: str) -> None:
    """Switches the scaling on, given the batch size that the learning rate belongs to."""
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            f'{source}: auto_scale_lr.base_batch_size: expected the batch size of the learning '
            'rate, since --auto-scale-lr was given, got none. Add '
            'auto_scale_lr=dict(base_batch_size=...)'
        )
    cfg.auto_scale_lr.enable = True


def check_data(cfg: Config) -> None:
    """Look at a sample of the data; ``data_check=False`` in the config leaves it out."""
    if cfg.default_scope == 'mmseg':
        from paco_seg.seg.datasets.check import check_label_maps

        check_label_maps(cfg)
    else:
        from paco_seg.cls.datasets.check import check_images

        check_images(cfg)


def run(args: argparse.Namespace) -> None:
    """Checks what can be checked, then trains."""
    cfg = load_config(args)
    require_keys(cfg, args.config, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'))
    check_settings(cfg)
    check_strategy(cfg)
    check_data_folders(cfg, ('train_dataloader', 'val_dataloader'))
    check_downloads(cfg)
    check_data(cfg)
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        use_auto_scale_lr(cfg, args.config)
    given = dict(resume=cfg.get('resume', False), load_from=cfg.get('load_from'))
    if args.resume or cfg.get('resume'):
        use_resume(cfg, args.resume or cfg.get('load_from') or 'auto')
    guard_training(cfg)
    earlier = last_checkpoint(cfg.work_dir)
    runner = build_runner(cfg)
    if cfg.get('resume'):
        # The next run of the file that is left is not bound to the checkpoint of this one.
        leave_config(runner, given)
    elif earlier:
        runner.logger.warning(
            f'work_dir: {cfg.work_dir} has checkpoints of an earlier training, the last one '
            f'{earlier}: this one starts anew and replaces those of the same name. --resume goes '
            'on from it; another --work-dir keeps both'
        )
    register_required_hooks(runner)
    try:
        runner.train()
    except KeyboardInterrupt:
        raise Interrupted(f'interrupted at iteration {runner.iter}: {way_back(runner)}') from None
