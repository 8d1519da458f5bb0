"""Looks at what a resumed training takes over from its checkpoint besides the weights."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook, Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import optim

from paco_seg.engine.checkpoint_config import config_from_text
from paco_seg.engine.hooks.durable_checkpoint_hook import SUPERFLUOUS
from paco_seg.engine.model_changes import type_name

# Settings of parameter groups that differ between versions of PyTorch, or say nothing of the kind.
INCIDENTAL = {
    'params',
    'param_names',
    'initial_lr',
    'maximize',
    'foreach',
    'capturable',
    'differentiable',
    'fused',
    'decoupled_weight_decay',
}


# Information of the message hub about the training that writes a checkpoint.
PROCESSES, EPOCH_LENGTH = 'num_processes', 'epoch_length'
# Settings that MMEngine takes from a checkpoint, with the state of optimizer and schedulers.
FIXED = (
    'optim_wrapper.optimizer.lr',
    'optim_wrapper.optimizer.weight_decay',
    'optim_wrapper.optimizer.momentum',
    'optim_wrapper.optimizer.betas',
    'param_scheduler',
    'auto_scale_lr.enable',
)


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Refuses the checkpoint of a training that this one cannot continue, and foreign paths.

    MMEngine takes an optimizer state of another kind until the first step fails, and removes
    whatever file or folder the checkpoint names as the best one so far. Here only files of the
    training's own folder count: in a copied folder the copy of the best checkpoint. It does
    nothing in a training that is not resumed.
    """

    # After CheckpointMatchHook: that it is another model explains all the rest.
    priority = 'VERY_LOW'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check, before MMEngine takes anything over; ``checkpoint`` is changed in place.

        Raises:
            ValueError: names the part of the checkpoint, and the remedy.
        """
        if not runner.cfg.get('resume'):
            return
        source = str(runner.cfg.get('load_from') or 'checkpoint')
        _check_parts(checkpoint, source)
        info = checkpoint['message_hub']['runtime_info']
        keep_own_paths(info, checkpoint_folder(runner), *_saved_for(runner))
        _check_average(runner, checkpoint, source)
        saved_config = _saved_config(checkpoint['meta'].get('cfg'), source)
        _check_optimizer(runner, checkpoint, saved_config, source)
        _check_schedule(runner, saved_config, source)
        _compare_batch_sizes(runner.cfg, saved_config, info.get(PROCESSES), source)
        _warn_inside_an_epoch(runner, checkpoint['meta'], info.get(EPOCH_LENGTH), source)
        if any(isinstance(hook, EarlyStoppingHook) for hook in runner.hooks):
            print_log(
                f'{source}: EarlyStoppingHook keeps nothing in a checkpoint: its patience and its '
                'best score start anew here',
                'current',
                logging.WARNING,
            )

    def before_train(self, runner: Runner) -> None:
        """Note what the next one has to know of this training."""
        info = runner.message_hub
        info.update_info(PROCESSES, get_world_size())
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            info.update_info(EPOCH_LENGTH, len(runner.train_loop.dataloader))


def _saved_for(runner: Runner) -> tuple[str | None, str]:
    """Return the one metric by which the best checkpoint is kept, if there is such, and its name.

    The name is the template of the end of a file's name.
    """
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            names = [hook.save_best] if isinstance(hook.save_best, str) else list(hook.save_best)
            metric = names[0] if len(names) == 1 and names != ['auto'] else None
            return metric, hook.filename_tmpl
    return None, ''


def checkpoint_folder(runner: Runner) -> Path:
    """Where the checkpoints of a training lie, as MMEngine's hook will decide."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.out_dir not in (None, runner.work_dir):
            return Path(hook.out_dir) / Path(runner.work_dir).name
    return Path(runner.work_dir)


def keep_own_paths(
    runtime_info: dict, folder: Path, metric: str | None = None, template: str = ''
) -> None:
    """Reduce what a checkpoint says about other checkpoints to files of ``folder``.

    Args:
        runtime_info: of MMEngine's message hub, changed in place: ``best_ckpt...`` becomes the
            file of the same name in ``folder``, or goes if there is none.
        folder: where the training keeps its checkpoints.
        metric: by which the best one is kept, if it is one alone. MMEngine compares with the best
            score whatever it was a score of, and removes the file that had it.
        template: of the names of checkpoints, if it is not that of MMEngine.
    """
    best = runtime_info.get('best_ckpt')
    if metric is not None and isinstance(best, str):
        # The whole name, since that of a metric may begin with another's: mIoU, mIoU_tail.
        names = [re.escape(name) for name in {template, 'epoch_{}.pth', 'iter_{}.pth'}]
        names = [re.sub(r'\\\{.*?\\\}', r'\\d+', name) for name in names]
        of_metric = rf'best_{re.escape(metric.replace("/", "_"))}_({"|".join(names)})'
        if not re.fullmatch(of_metric, Path(best).name):
            print_log(
                f'default_hooks.checkpoint.save_best: {metric!r} starts anew, and '
                f'{Path(best).name} of the training before stays',
                'current',
                logging.WARNING,
            )
            del runtime_info['best_ckpt']
            runtime_info.pop('best_score', None)
    for key in list(runtime_info):
        value = runtime_info[key]
        if key.startswith('best_ckpt') or key == 'last_ckpt':
            own = folder / Path(value).name if isinstance(value, str) else None
            is_named_so = own is not None and own.name.startswith('best_') == (key != 'last_ckpt')
            if own is not None and is_named_so and own.is_file():
                runtime_info[key] = str(own)
            else:
                del runtime_info[key]
        elif key.startswith('best_score') and not isinstance(value, Real):
            del runtime_info[key]
    is_remote = re.match(r'\w\w+:/', folder.as_posix())  # whose files are not looked at
    if 'last_ckpt' not in runtime_info and not is_remote:  # what is here is of another training
        others = [key for key in runtime_info if key.startswith('best_score')]
        for key in (*others, 'keep_ckpt_ids', SUPERFLUOUS):
            runtime_info.pop(key, None)
    for key in {'keep_ckpt_ids', SUPERFLUOUS} & runtime_info.keys():
        # They become part of a file name: a number cannot lead out of the folder.
        ids = runtime_info[key]
        ids = ids if isinstance(ids, (list, tuple)) else []
        runtime_info[key] = [step for step in ids if type(step) is int and step >= 0]


def _check_parts(checkpoint: dict, source: str) -> None:
    remedy = (
        'Resume from a checkpoint that a training wrote (iter_*.pth, epoch_*.pth); to start from '
        'these weights leave --resume out and set load_from'
    )
    hub = checkpoint.get('message_hub')
    if 'optimizer' not in checkpoint or not isinstance(hub, Mapping):
        raise ValueError(
            f'{source}: expected the state of a training, got weights without '
            f'{"message_hub" if "optimizer" in checkpoint else "optimizer"}. {remedy}'
        )
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        if not isinstance(hub.get(key), Mapping):
            raise ValueError(
                f'{source}: message_hub.{key}: expected a dict, got {type(hub.get(key)).__name__}. '
                f'{remedy}'
            )
    for key in ('epoch', 'iter'):
        value = checkpoint.get('meta', {}).get(key)
        if type(value) is not int or value < 0:
            raise ValueError(
                f'{source}: meta.{key}: expected an integer >= 0, got {value!r}. {remedy}'
            )


def _saved_config(text: Any, source: str) -> Config:
    """The config of the training that wrote the checkpoint; empty if it cannot be read as data."""
    if isinstance(text, str):
        try:
            return config_from_text(text, source)
        except ValueError as error:
            print_log(f'{error}. Its settings are not compared', 'current')
    return Config()


def _check_optimizer(runner: Runner, checkpoint: dict, saved: Config, source: str) -> None:
    wrapper = runner.optim_wrapper
    # Several optimizers, or one of a sharded model, are compared by PyTorch alone.
    if not isinstance(wrapper, OptimWrapper):
        return
    remedy = (
        'Use the optimizer and paramwise_cfg of the first run; to start another one from these '
        'weights leave --resume out and set load_from'
    )
    name = _setting(saved, 'optim_wrapper', 'optimizer', 'type')
    ours = type(wrapper.optimizer).__name__
    groups = checkpoint['optimizer'].get('param_groups')
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        raise ValueError(f'{source}: optimizer.param_groups: expected a list of dicts. {remedy}')
    expected = [_signature(group) for group in wrapper.optimizer.param_groups]
    got = [_signature(group) for group in groups]
    if isinstance(name, str) and name.rsplit('.', 1)[-1] != ours and _known(name):
        raise ValueError(f'{source}: optimizer: expected the state of {ours}, got {name}. {remedy}')
    if len(expected) != len(got):
        raise ValueError(
            f'{source}: optimizer: expected {len(expected)} parameter groups, got {len(got)}. '
            f'{remedy}'
        )
    for number, (one, other) in enumerate(zip(expected, got, strict=True)):
        if one != other:
            raise ValueError(
                f'{source}: optimizer: expected {one[0]} parameters with {", ".join(one[1])} in '
                f'group {number} ({ours}), got {other[0]} with {", ".join(other[1])}. {remedy}'
            )


def _check_average(runner: Runner, checkpoint: dict, source: str) -> None:
    """Refuse to go on from averaged weights, to which the state of the optimizer does not belong.

    ``EMAHook`` writes the average as the model, and the trained weights beside it.
    """
    if 'ema_state_dict' in checkpoint and not any(isinstance(h, EMAHook) for h in runner.hooks):
        raise ValueError(
            f'{source}: custom_hooks: expected EMAHook, which averaged its weights, got none. '
            'Keep it; to start from the averaged weights leave --resume out and set load_from'
        )


def _check_schedule(runner: Runner, saved: Config, source: str) -> None:
    """Say which settings of the checkpoint stay in force, whatever the config says now.

    Raises:
        ValueError: there are other kinds of schedulers, which would get states of each other.
    """
    ours, theirs = (_schedulers(config) for config in (runner.cfg, saved))
    if saved and ours != theirs:
        raise ValueError(
            f'{source}: param_scheduler: expected {", ".join(theirs) or "none"} as in the training '
            f'that wrote it, got {", ".join(ours) or "none"}. Keep them; for other ones leave '
            '--resume out and set load_from'
        )
    for key in FIXED:
        now, before = (_setting(config, *key.split('.')) for config in (runner.cfg, saved))
        if before is not None and _plain(now) != _plain(before):
            print_log(
                f'{source}: {key} was {before!r}, now it is {now!r}: a resumed training keeps that '
                'of the checkpoint. For the new one leave --resume out and set load_from',
                'current',
                logging.WARNING,
            )


def _schedulers(config: Config) -> list[str]:
    """Return the kinds of the schedulers of a config."""
    found = config.get('param_scheduler') or []
    listed = found if isinstance(found, (list, tuple)) else [found]
    return [type_name(item) for item in listed if isinstance(item, Mapping)]


def _plain(value: Any) -> Any:
    """Return a setting as it compares: the kind of its containers says nothing."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    # One scheduler may stand alone or in a list.
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return _plain(value[0])
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _signature(group: Mapping) -> tuple[int, list[str]]:
    params = group.get('params')
    number = len(params) if isinstance(params, (list, tuple)) else 0
    return number, sorted(str(key) for key in group if key not in INCIDENTAL)


def _setting(config: Any, *keys: str) -> Any:
    for key in keys:
        config = config.get(key) if isinstance(config, (Config, Mapping)) else None
    return config


def _known(name: str) -> bool:
    """Whether it is an optimizer of PyTorch: a registry may give others another name."""
    return hasattr(optim, name.rsplit('.', 1)[-1])


def _warn_inside_an_epoch(
    runner: Runner, meta: Mapping[str, Any], length: Any, source: str
) -> None:
    """Say that a training by epochs, which MMEngine can only start whole, repeats a part of one.

    Args:
        runner: the training.
        meta: of the checkpoint.
        length: iterations of an epoch of the training that wrote it, if it says so.
        source: the checkpoint, for the message.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        if type(length) is not int or length < 1:
            length = len(runner.train_loop.dataloader)
        done = meta['iter'] - meta['epoch'] * length
        if 0 < done < length:
            print_log(
                f'{source}: expected the end of an epoch, got {done} of the {length} iterations of '
                f'epoch {meta["epoch"] + 1}: the whole epoch is trained on again, so the training '
                f'takes {done} iterations more than its schedule has, and ends as another one. '
                'Resume from an epoch_*.pth, or set CheckpointHook.by_epoch=True for the next time',
                'current',
                logging.WARNING,
            )


def _compare_batch_sizes(cfg: Config, saved: Config, processes: Any, source: str) -> None:
    """Say that iterations mean other amounts of data; ``processes`` are those of the checkpoint."""
    ours, theirs = (_setting(config, 'train_dataloader', 'batch_size') for config in (cfg, saved))
    if type(processes) is int and processes != get_world_size():
        print_log(
            f'{source}: was written by {processes} processes, now there are {get_world_size()}: '
            'iterations and epochs count other amounts of data than before, and the learning rate '
            'stays that of the checkpoint',
            'current',
            logging.WARNING,
        )
    if None not in (ours, theirs) and ours != theirs:
        print_log(
            f'{source}: train_dataloader.batch_size was {theirs}, now it is {ours}: iterations and '
            'epochs count other amounts of data than before, and the order of the samples differs',
            'current',
            logging.WARNING,
        )
