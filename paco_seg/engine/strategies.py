"""Strategies of MMEngine's ``FlexibleRunner``: DDP, FSDP and DeepSpeed.

A config asks for one by ``runner_type='FlexibleRunner'`` and ``strategy=dict(type=...)``. FSDP
keeps a slice of every parameter on each process between the steps: whatever looks at whole tensors
then (their norm, their number of dimensions, a copy of the model) sees the slice, without an error.
Such settings are refused here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from mmengine._strategy import DeepSpeedStrategy, FSDPStrategy
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from torch import nn

from paco_seg.engine.fsdp_strategy import ResumableFSDPStrategy
from paco_seg.engine.launch import CPU_DDP, DATA_PARALLEL, DDP
from paco_seg.engine.model_changes import mmengine_name, type_name

DDP_STRATEGY, FSDP, DEEPSPEED = 'DDPStrategy', 'FSDPStrategy', 'DeepSpeedStrategy'
FSDP_WRAPPER = 'MMFullyShardedDataParallel'
# Optimizers whose step takes the norm of whole tensors.
LAYERWISE = ('LARS', 'LAMB', 'Lamb', 'FusedLamb')
FULL_STATE = ('full', 'FULL_STATE_DICT')


def strategy_type(cfg: Config) -> str | None:
    """Return the name of the strategy that a config is trained by, None for an ordinary Runner."""
    if cfg.get('runner_type') != 'FlexibleRunner':
        return None
    return mmengine_name(cfg.get('strategy') or {}, DDP_STRATEGY)


def check_strategy(cfg: Config) -> None:
    """Refuse what a strategy cannot do, or would do wrongly without a word.

    Args:
        cfg: the complete config, with ``launcher``.

    Raises:
        ValueError: names the config key, the reason and the remedy.
        ModuleNotFoundError: the package of the strategy is missing.
    """
    if cfg.get('strategy') and cfg.get('runner_type') != 'FlexibleRunner':
        raise ValueError(
            "runner_type: expected 'FlexibleRunner', since there is a strategy, got "
            f'{cfg.get("runner_type")!r}. Set it, or leave strategy out'
        )
    kind = strategy_type(cfg)
    if not cfg.get('strategy') or kind not in (DDP_STRATEGY, FSDP, DEEPSPEED):
        return
    if kind == DEEPSPEED and importlib.util.find_spec('deepspeed') is None:
        raise ModuleNotFoundError(
            'strategy.type: expected an installed DeepSpeed for DeepSpeedStrategy, got none. '
            'Install deepspeed, or inherit _base_/strategies/fsdp.py, which needs PyTorch alone'
        )
    if cfg.get('launcher', 'none') == 'none':
        raise ValueError(
            f'--launcher: expected one of several processes for {kind}, got none. Start through '
            'tools/dist_train.sh'
        )
    for key, expected, got, remedy in _faults(cfg, kind):
        raise ValueError(f'{key}: expected {expected} under {kind}, got {got!r}. {remedy}')


def _faults(cfg: Config, kind: str) -> Iterator[tuple[str, str, Any, str]]:
    """Give the key, what it should be, the value and the remedy of each setting to refuse."""
    optim = cfg.get('optim_wrapper') or {}
    strategy = cfg.strategy
    if kind == DDP_STRATEGY:
        return
    if kind == DEEPSPEED:
        if mmengine_name(optim, 'OptimWrapper') != 'DeepSpeedOptimWrapper':
            yield (
                'optim_wrapper.type',
                "'DeepSpeedOptimWrapper'",
                mmengine_name(optim, 'OptimWrapper'),
                "Set optim_wrapper=dict(_delete_=True, type='DeepSpeedOptimWrapper', optimizer="
                'dict(...)); accumulation and clipping are gradient_accumulation_steps and '
                'gradient_clipping of the strategy',
            )
        return
    state = strategy.get('state_dict_cfg', 'local')
    state = state.get('state_dict_type') if isinstance(state, dict) else state
    if state not in FULL_STATE:
        yield (
            'strategy.state_dict_cfg',
            "'full'",
            state,
            'paco-seg reads checkpoints of one file, not folders of slices',
        )
    slices = 'A process sees slices of the parameters: '
    if optim.get('clip_grad') is not None:
        yield (
            'optim_wrapper.clip_grad',
            'none',
            optim['clip_grad'],
            f'{slices}each would clip by the norm of its own. Train with DDP, or without clipping',
        )
    if optim.get('constructor', 'DefaultOptimWrapperConstructor') not in (
        'DefaultOptimWrapperConstructor',
    ):
        yield (
            'optim_wrapper.constructor',
            'none',
            optim['constructor'],
            f'{slices}all have one dimension, as those without weight decay. Train with DDP',
        )
    if (optim.get('paramwise_cfg') or {}).get('flat_decay_mult') is not None:
        yield (
            'optim_wrapper.paramwise_cfg.flat_decay_mult',
            'none',
            optim['paramwise_cfg']['flat_decay_mult'],
            f'{slices}all have one dimension. Use norm_decay_mult and bias_decay_mult',
        )
    if type_name(optim.get('optimizer') or {}) in LAYERWISE:
        yield (
            'optim_wrapper.optimizer.type',
            'an optimizer that works element by element',
            type_name(optim['optimizer']),
            f'{slices}it would take their norms. Train with DDP',
        )
    if any(type_name(hook) == 'EMAHook' for hook in cfg.get('custom_hooks') or []):
        yield 'custom_hooks', 'no EMAHook', 'EMAHook', 'It copies a whole model. Train with DDP'
    wrapper = strategy.get('model_wrapper') or {}
    test_cfg = (cfg.get('model') or {}).get('test_cfg') or {}
    if wrapper.get('auto_wrap_policy') is not None and test_cfg.get('mode') == 'slide':
        yield (
            'strategy.model_wrapper.auto_wrap_policy',
            "none with model.test_cfg.mode='slide'",
            wrapper['auto_wrap_policy'],
            'Processes whose images have fewer windows would wait for ever. Leave it out',
        )


def use_strategy(cfg: Config) -> None:
    """Complete the strategy of a checked config for this device; changes ``cfg`` in place."""
    strategy = cfg.get('strategy') or {}
    cpu = get_device() == 'cpu'
    kind = strategy_type(cfg)
    wrapper = dict(strategy.get('model_wrapper') or {})
    if kind == DDP_STRATEGY and cfg.get('launcher', 'none') != 'none':
        chosen = cfg.pop('model_wrapper_cfg', None) or {**DATA_PARALLEL, 'type': DDP}
        wrapper = wrapper or dict(chosen)
        if cpu and mmengine_name(wrapper, DDP) == DDP:
            wrapper['type'] = CPU_DDP
    elif kind == FSDP:
        wrapper.setdefault('type', FSDP_WRAPPER)
        if cpu:
            wrapper['device_id'] = 'cpu'  # MMEngine passes the index of a GPU
        strategy = {**strategy, 'type': ResumableFSDPStrategy.__name__}
    if wrapper:
        cfg.strategy = {'type': kind, **strategy, 'model_wrapper': wrapper}
    cfg.setdefault('env_cfg', dict(dist_cfg=dict(backend='nccl')))  # as in the ordinary Runner


def drop_strategy(cfg: Config) -> None:
    """Test what a strategy trained with the ordinary Runner; changes ``cfg`` in place."""
    if cfg.get('runner_type') == 'FlexibleRunner':
        cfg.pop('runner_type')
        cfg.pop('strategy', None)


def fit_strategy(strategy: Any, model: nn.Module) -> None:
    """Fit a strategy to a model that is built, but not wrapped yet.

    Under FSDP a module with ``follows_parameters = True`` (a momentum encoder) stays whole beside
    the slices, on the device of the process. On the CPU SyncBN becomes BN.

    Args:
        strategy: built; its wrapper's settings are changed.
        model: on the CPU.

    Raises:
        ValueError: the strategy cannot train this model.
    """
    if get_device() == 'cpu':
        revert_sync_batchnorm(model)
    if isinstance(strategy, FSDPStrategy):
        _fit_shards(strategy, model)
    elif isinstance(strategy, DeepSpeedStrategy):
        ours = [name for name, module in model.named_modules() if _is_ours(module)]
        for key in ('fp16', 'bf16'):
            if ours and strategy.config.get(key, {}).get('enabled'):
                raise ValueError(
                    f'strategy.{key}.enabled: expected False with {ours[0] or "this model"}, got '
                    'True. DeepSpeed casts buffers as well, and class frequencies and queues need '
                    'float32. Leave it out'
                )


def _fit_shards(strategy: Any, model: nn.Module) -> None:
    wrapper = strategy.model_wrapper
    scalar = next((name for name, weight in model.named_parameters() if weight.dim() == 0), None)
    if scalar is not None:
        raise ValueError(
            f'strategy.type: expected DDPStrategy for a model with the scalar parameter {scalar}, '
            'got FSDPStrategy, which cannot cut it. Leave runner_type and strategy out'
        )
    parts = [
        name for name, module in model.named_modules() if getattr(module, 'follows_parameters', 0)
    ]
    for name in parts:
        # FSDP moves only what it manages.
        model.get_submodule(name).to(get_device())
    if parts:
        wrapper['ignored_modules'] = [*wrapper.get('ignored_modules', []), *parts]
    # A step of ours reads parameters outside the layers that hold them: class centers, the last
    # layer of a projector, what a momentum encoder follows. In a unit of its own, which is whole
    # only while its layer runs, they would be slices.
    ours = next((name for name, module in model.named_modules() if _is_ours(module)), None)
    if ours is not None and wrapper.get('auto_wrap_policy') is not None:
        raise ValueError(
            f'strategy.model_wrapper.auto_wrap_policy: expected none with {ours or "this model"}, '
            f'got {wrapper["auto_wrap_policy"]!r}. Its loss reads parameters outside their layers, '
            'where a unit of FSDP has slices of them: leave it out'
        )


def _is_ours(module: nn.Module) -> bool:
    return type(module).__module__.startswith('paco_seg.')
