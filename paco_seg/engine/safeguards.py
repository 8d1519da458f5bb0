"""What every training and every test of ours is guarded by."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop

import paco_seg.engine.hooks  # noqa: F401
from paco_seg.engine.cli import add_hook
from paco_seg.engine.model_changes import full_name, mmengine_name, type_name


def guard_training(cfg: Config) -> None:
    """Add the hooks that check a training and keep its work; changes ``cfg`` in place.

    Each stays as the config has it, if it has one of that type, but for what the checkpoint must
    bring. ``cfg.resume`` must be decided.
    """
    use_durable_checkpoints(cfg)
    add_hook(cfg, type='RNGStateHook')
    add_hook(cfg, type='NumClassCheckHook')
    add_hook(cfg, type='SettingsCheckHook')
    add_hook(cfg, type='LoaderLengthHook')
    add_hook(cfg, type='PretrainedFitHook')
    add_hook(cfg, type='ClassMemoryHook')
    _require(cfg, 'all' if cfg.get('resume') else 'any')
    add_hook(cfg, type='ResumeCheckHook')
    add_hook(cfg, type='ClassNamesCheckHook')
    add_hook(cfg, type='AccumulatedGradientHook')
    add_hook(cfg, type='NonFiniteLossHook')


def guard_test(cfg: Config) -> None:
    """Add the hooks that check a checkpoint before it is tested; changes ``cfg`` in place.

    The config in the work directory of a training has the hooks of the training as well. One of
    them reads the training set, which need not be there; another averages weights, and finds none
    to average under test-time augmentation: the model of a checkpoint is the average already.
    """
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [
        hook for hook in hooks if type_name(hook) != 'ClassMemoryHook' and not _is_average(hook)
    ]
    add_hook(cfg, type='SettingsCheckHook')
    _require(cfg, 'inference')
    add_hook(cfg, type='ClassNamesCheckHook')


def _is_average(hook: Any) -> bool:
    """Tell a hook of MM that would test the averaged weights, which a checkpoint has as its model.

    MMPretrain's may test the trained weights too, whose predictions would take the place of the
    others in what is written, and those alone, which are not the model of the checkpoint.
    """
    package, _, name = full_name(hook).rpartition('.')
    if name != 'EMAHook' or package.split('.')[0] not in ('', 'mmengine', 'mmpretrain'):
        return False
    is_average = hook.get('evaluate_on_ema', True)
    if is_average and hook.get('evaluate_on_origin'):
        print_log(
            'custom_hooks.EMAHook.evaluate_on_origin: a test has one model, here that of the '
            'averaged weights. For the trained ones set evaluate_on_ema=False',
            'current',
            logging.WARNING,
        )
    return bool(is_average)


def _require(cfg: Config, what: str) -> None:
    """Have checkpoints checked as the command wants it.

    The config in the work directory of a training has the hook as that training wanted it.
    """
    hook = dict(type='CheckpointMatchHook', require=what)
    hooks = list(cfg.get('custom_hooks') or [])
    cfg.custom_hooks = [hook if type_name(h) == hook['type'] else h for h in hooks]
    add_hook(cfg, **hook)


def default_checkpoint(cfg: Config) -> dict[str, Any]:
    """Return the checkpoint hook of a config that names none.

    That is MMEngine's, once an epoch. A loop of iterations is a single epoch to it: there the hook
    writes whenever the loop validates.
    """
    loop = cfg.get('train_cfg') or {}
    kind = loop.get('type')
    cls = LOOPS.get(kind) if isinstance(kind, str) else kind
    if loop.get('by_epoch', cls is None or not issubclass(cls, IterBasedTrainLoop)):
        return dict(type='CheckpointHook', interval=1)
    return dict(type='CheckpointHook', interval=loop.get('val_interval', 1000), by_epoch=False)


def use_durable_checkpoints(cfg: Config) -> None:
    """Put :class:`DurableCheckpointHook` in the place of MMEngine's, with the same arguments."""
    hooks = dict(cfg.get('default_hooks') or {})
    # None switches it off.
    checkpoint = hooks['checkpoint'] if 'checkpoint' in hooks else default_checkpoint(cfg)
    if checkpoint is not None and mmengine_name(checkpoint) == 'CheckpointHook':
        cfg.default_hooks = dict(hooks, checkpoint=dict(checkpoint, type='DurableCheckpointHook'))
    cfg.custom_hooks = [
        dict(hook, type='DurableCheckpointHook')
        if isinstance(hook, dict) and mmengine_name(hook) == 'CheckpointHook'
        else hook
        for hook in cfg.get('custom_hooks') or []
    ]
