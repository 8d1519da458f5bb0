"""The length of a training: any schedule as one of so many iterations, with the same shape.

Every training of a comparison counts iterations, so that the same budget means the same and a
search or a trial can be shorter than an epoch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from paco_seg.engine.model_changes import ModelChange, replace_part, replacing, type_name

VALIDATIONS = 8  # in a training unless another number is asked for: points of the curves
LOGGED, LOG_INTERVAL = 50, 100  # rows in a training, and iterations between two at most
_ENDLESS = 10**8  # MMEngine's INF is 10 ** 9
_LENGTHS = ('begin', 'end', 'T_max', 'step_size', 'total_steps', 'total_iters', 'warmup_iters')
_STOPS_EARLY = ('EarlyStoppingHook',)
_WARM_UPS = ('Linear', 'Constant')
_ROUNDED = 0.01  # of a length: less is no other curve
_WANTS_A_METRIC = 'ReduceOnPlateau'


def config_iters(cfg: Config) -> int:
    """Return the iterations that a config trains for.

    Raises:
        ValueError: it does not say for how long.
    """
    loop = cfg.get('train_cfg') or {}
    if loop.get('max_iters'):
        return int(loop['max_iters'])
    if loop.get('max_epochs'):
        return int(loop['max_epochs']) * epoch_iters(cfg)
    raise ValueError(
        'train_cfg: expected max_iters or max_epochs, got neither. Inherit a schedule, or give the '
        'length with --iters'
    )


def epoch_iters(cfg: Config) -> int:
    """Return the iterations of one pass over the training data."""
    loader = cfg.train_dataloader
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'):
        samples = len(DATASETS.build(copy.deepcopy(loader.dataset)))
    batches = samples / int(loader.batch_size)
    return max(1, math.floor(batches) if loader.get('drop_last') else math.ceil(batches))


def length_changes(
    cfg: Config,
    iters: int,
    *,
    per_epoch: int = 1,
    full: int | None = None,
    validations: int = VALIDATIONS,
) -> list[ModelChange]:
    """Return the changes that make a config train for so many iterations.

    Learning rates follow the same curve, stretched: warm-up, steps and ends are scaled with the
    length; a warm-up that would be over after one iteration is left out, for it would keep the rate
    at its start. The iteration at which an average of the weights begins is scaled as well.
    Validation, checkpoints and logs count iterations as well; what depends on the metrics
    of the config (``save_best``, early stopping) is off.

    Args:
        cfg: the config.
        iters: length.
        per_epoch: iterations of an epoch, for what the config states in epochs.
        full: length of the config's own schedule; None takes that of its ``train_cfg``.
        validations: number of them, at equal distances, the last at the end.
    """
    loop = cfg.get('train_cfg') or {}
    full = full or int(loop.get('max_iters') or loop.get('max_epochs', 0) * per_epoch) or iters
    interval = max(1, math.ceil(iters / validations))
    log = min(max(1, math.ceil(iters / LOGGED)), LOG_INTERVAL)
    hooks = dict(cfg.get('default_hooks') or {})
    logger = dict(hooks.get('logger') or dict(type='LoggerHook'))
    top: dict[str, Any] = {}
    schedulers = cfg.get('param_scheduler')
    if schedulers:
        listed = schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]
        scaled = [
            scaled_scheduler(scheduler, per_epoch, iters / full)
            for scheduler in listed
            if 'monitor' not in scheduler and not type_name(scheduler).startswith(_WANTS_A_METRIC)
        ]
        top['param_scheduler'] = [scheduler for scheduler in scaled if not _never_rises(scheduler)]
    custom = [_plain_hook(hook) for hook in cfg.get('custom_hooks') or []]
    kept = [
        _scaled_average(hook, per_epoch, iters, full)
        for hook in custom
        if type_name(hook) not in _STOPS_EARLY
    ]
    if kept != custom:
        top['custom_hooks'] = kept
    checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=iters)
    others = _default_hooks(hooks, per_epoch, iters, full)
    changes = [
        replace_part(
            cfg,
            'train_cfg',
            dict(type='IterBasedTrainLoop', max_iters=iters, val_interval=interval),
        ),
        ModelChange(
            (),
            dict(
                others,
                checkpoint=replacing(hooks, 'checkpoint', checkpoint),
                logger=dict(logger, interval=log, log_metric_by_epoch=False),
            ),
            'default_hooks',
        ),
        replace_part(
            cfg, 'log_processor', dict(type='LogProcessor', by_epoch=False, window_size=log)
        ),
    ]
    return [*changes, ModelChange((), top, '')] if top else changes


def left_out(cfg: Config) -> list[str]:
    """Return what a config has that its trainings in a comparison have not, in words."""
    found = []
    if cfg.get('resume'):
        source = f' (load_from={cfg.load_from!r})' if cfg.get('load_from') else ''
        found.append(f'resume{source}, every training starts anew')
    default = (hook for hook in (cfg.get('default_hooks') or {}).values() if hook)
    for hook in (*(cfg.get('custom_hooks') or []), *default):
        if type_name(hook) == 'SwitchRecipeHook':
            later = [recipe['action_epoch'] for recipe in hook.get('schedule') or []]
            epochs = ', '.join(str(epoch) for epoch in later if epoch > 1)
            if epochs:
                found.append(f'SwitchRecipeHook from epoch {epochs} on, iterations are counted')
        elif type_name(hook) in _STOPS_EARLY:
            found.append(f'{type_name(hook)}, all systems train for as long')
    return found


def scaled_scheduler(scheduler: Mapping[str, Any], per_epoch: int, scale: float) -> dict[str, Any]:
    """Return a parameter scheduler of iterations with its curve stretched by ``scale``.

    Args:
        scheduler: config of an MMEngine scheduler.
        per_epoch: iterations of an epoch, for one that counts epochs.
        scale: new length over old length.
    """
    scaled = copy.deepcopy(dict(scheduler))
    by_epoch = bool(scaled.get('by_epoch', True))
    factor = scale * (per_epoch if by_epoch else 1)
    scaled['by_epoch'] = False
    scaled.pop('convert_to_iter_based', None)
    for key in _LENGTHS:
        value = scaled.get(key)
        if isinstance(value, (int, float)) and value < _ENDLESS:
            smallest = 0 if key == 'begin' else 1
            scaled[key] = max(smallest, round(value * factor))
    for key in ('milestones', 'periods'):
        if key in scaled:
            scaled[key] = [max(1, round(value * factor)) for value in scaled[key]]
    if 'Exponential' in str(scaled.get('type')) and 'gamma' in scaled:
        scaled['gamma'] = scaled['gamma'] ** (1 / factor)  # per step
    if 'step_size' in scaled:
        # Fewer steps than before, or more, are as much steeper or flatter.
        share = scaled['step_size'] / (scheduler['step_size'] * factor)
        if abs(share - 1) > _ROUNDED:
            scaled['gamma'] = scaled.get('gamma', 0.1) ** share
    if scaled.get('end', _ENDLESS) <= scaled.get('begin', 0):
        scaled['end'] = scaled.get('begin', 0) + 1
    return scaled


def _never_rises(scheduler: Mapping[str, Any]) -> bool:
    """Whether a warm-up is so short that MMEngine's first value of it would stay."""
    length = scheduler.get('end', _ENDLESS) - scheduler.get('begin', 0)
    return type_name(scheduler).startswith(_WARM_UPS) and length < 2


def _default_hooks(
    hooks: Mapping[str, Any], per_epoch: int, iters: int, full: int
) -> dict[str, Any]:
    """Return what becomes of hooks that a config has among the default ones, by their names."""
    changed: dict[str, Any] = {}
    for name, hook in hooks.items():
        if not hook:
            continue
        if type_name(hook) in _STOPS_EARLY:
            changed[name] = None
            continue
        plain = _plain_hook(hook)
        scaled = _scaled_average(plain, per_epoch, iters, full)
        if scaled != plain:
            changed[name] = replacing(hooks, name, scaled)
    return changed


def _scaled_average(hook: dict[str, Any], per_epoch: int, iters: int, full: int) -> dict[str, Any]:
    """Return a hook; one that averages weights begins at the same share of the training."""
    begin = hook.get('begin_iter') or (hook.get('begin_epoch') or 0) * per_epoch
    if not begin or not type_name(hook).endswith('EMAHook'):
        return hook
    rest = {key: value for key, value in hook.items() if key != 'begin_epoch'}
    return dict(rest, begin_iter=min(iters, max(1, round(begin * iters / full))))


def _plain_hook(hook: Any) -> dict[str, Any]:
    return hook.to_dict() if hasattr(hook, 'to_dict') else dict(hook)
