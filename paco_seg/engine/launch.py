"""One or several processes, also on a machine without a GPU.

MMEngine's launchers select a CUDA device before they do anything else, its default model wrapper
names one, and its mixed precision refuses the CPU. :func:`prepare_launch` opens the process group
with gloo beforehand and closes it at exit, chooses a wrapper for the CPU and trains in float32. On
a machine with accelerators MMEngine launches; only the settings of the data-parallel wrapper are
ours.
"""

from __future__ import annotations

import atexit
import datetime
import gc
import logging
import os
import re
import subprocess

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import MODEL_WRAPPERS
from torch import distributed, nn

from paco_seg.engine.model_changes import mmengine_name

# Where each launcher says which process this is.
RANK_VARIABLES = {
    'pytorch': {'RANK': 'RANK', 'WORLD_SIZE': 'WORLD_SIZE', 'LOCAL_RANK': 'LOCAL_RANK'},
    'slurm': {
        'RANK': 'SLURM_PROCID',
        'WORLD_SIZE': 'SLURM_NTASKS',
        'LOCAL_RANK': 'SLURM_LOCALID',
    },
    'mpi': {
        'RANK': 'OMPI_COMM_WORLD_RANK',
        'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
        'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK',
    },
}


# How models are wrapped for several processes unless the config says it: the same parameters take
# part in every step of every head and classifier of ours, also of a batch without a valid pixel.
DATA_PARALLEL = {
    'broadcast_buffers': False,  # as MMEngine's Runner; queues and counts are equal on every rank
    'find_unused_parameters': False,
    'static_graph': True,
    'gradient_as_bucket_view': True,  # one copy of the gradients instead of two
}

DDP, CPU_DDP = 'MMDistributedDataParallel', 'CPUDistributedDataParallel'

# Devices that AmpOptimWrapper accepts, and the settings that OptimWrapper does not share with it.
AMP_DEVICES = ('cuda', 'npu', 'mlu', 'musa')
AMP_SETTINGS = ('loss_scale', 'dtype', 'use_fsdp')


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """MMEngine's data-parallel wrapper for a model on the CPU.

    SyncBN exists on GPUs only: such layers become BN, whose statistics each process computes on
    its own part of the batch.

    Args:
        module: the model.
        device_ids: ignored; MMEngine passes the index of a GPU.
        **kwargs: of :class:`mmengine.model.MMDistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: object = None, **kwargs: object) -> None:
        if any('SyncB' in type(child).__name__ for child in module.modules()):
            print_log('SyncBN needs a GPU: it becomes BN with per-process statistics.', 'current')
            module = revert_sync_batchnorm(module)
        # Runner's default; a wrapper of one's own starts from PyTorch's, which is the opposite.
        kwargs.setdefault('broadcast_buffers', False)
        super().__init__(module, device_ids=None, **kwargs)


def prepare_launch(cfg: Config) -> None:
    """Makes ``cfg.launcher`` work on this machine; changes ``cfg`` in place.

    Call it before the Runner is built. ``AmpOptimWrapper`` becomes ``OptimWrapper`` where the
    device has no mixed precision, and a config without ``model_wrapper_cfg`` that is launched on
    several processes gets :data:`DATA_PARALLEL`. All else is for launchers on the CPU: without one,
    or where there is an accelerator, it only checks.

    Args:
        cfg: the complete config, with ``launcher``.

    Raises:
        ValueError: a launcher was named, but its environment variables are absent or contradict
            each other; there are more processes than GPUs on this machine; or the wrapper does
            not go with accumulated gradients.
    """
    _train_in_float32_without_amp(cfg)
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    if launcher not in RANK_VARIABLES:
        raise ValueError(
            f"launcher: expected 'none' or one of {sorted(RANK_VARIABLES)}, got {launcher!r}. Set "
            'it with --launcher'
        )
    names = RANK_VARIABLES[launcher]
    absent = [name for name in names.values() if name not in os.environ]
    if absent:
        script = 'tools/slurm_*.sh' if launcher == 'slurm' else 'tools/dist_*.sh'
        raise ValueError(
            f'--launcher {launcher}: expected the variable {absent[0]} of its launcher, got none. '
            f'Start through {script if launcher != "mpi" else "mpirun"}, or leave --launcher out'
        )
    # A rank outside the world, and all others, would wait for half an hour.
    world_size = _check_whole_variable(names['WORLD_SIZE'], least=1)
    _check_whole_variable(names['RANK'], below=(names['WORLD_SIZE'], world_size))
    local_rank = _check_whole_variable(names['LOCAL_RANK'])
    if get_device() == 'cuda' and local_rank >= torch.cuda.device_count():
        raise ValueError(
            f'--launcher {launcher}: expected at most {torch.cuda.device_count()} processes on '
            f'this machine (one per GPU), got local rank {local_rank}. Start fewer, or hide the '
            'GPUs (CUDA_VISIBLE_DEVICES=) to run on the CPU'
        )
    _choose_wrapper(cfg)
    if get_device() != 'cpu':
        return

    os.environ.update({name: os.environ[source] for name, source in names.items()})
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        hosts = subprocess.run(
            ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']],
            check=True,
            capture_output=True,
            text=True,
        )
        os.environ['MASTER_ADDR'] = hosts.stdout.split()[0]
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')  # MMEngine's default
    if not distributed.is_initialized():
        timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 1800)
        distributed.init_process_group('gloo', timeout=datetime.timedelta(seconds=timeout))
        atexit.register(_close_process_group)
    print_log(f'No accelerator: {os.environ["WORLD_SIZE"]} CPU processes, gloo', 'current')


def _choose_wrapper(cfg: Config) -> None:
    """Complete ``model_wrapper_cfg``.

    Raises:
        ValueError: it has ``static_graph`` beside accumulated gradients.
    """
    counts = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    wrapper = cfg.get('model_wrapper_cfg')
    if not wrapper:
        # PyTorch records a static graph in the first backward pass, which must not be one of
        # no_sync(). Parameters that may be unused are a graph that changes.
        wrapper = {**DATA_PARALLEL, 'static_graph': counts == 1}
        if cfg.get('find_unused_parameters', False):
            wrapper.update(find_unused_parameters=True, static_graph=False)
    elif wrapper.get('static_graph') and counts > 1:
        raise ValueError(
            'model_wrapper_cfg.static_graph: expected False, since optim_wrapper.'
            f'accumulative_counts is {counts} and PyTorch fails in the first step that does not '
            'exchange its gradients, got True. Leave it out'
        )
    # Another wrapper (FSDP, separate DDP) was chosen by its user, who also chooses its device.
    if mmengine_name(wrapper, DDP) == DDP:
        cfg.model_wrapper_cfg = {**wrapper, 'type': CPU_DDP if get_device() == 'cpu' else DDP}


def check_local_rank() -> None:
    """Refuse a ``LOCAL_RANK`` that is no number: MMEngine's first log message reads it."""
    _check_whole_variable('LOCAL_RANK')


def _check_whole_variable(
    name: str, *, least: int = 0, below: tuple[str, int] | None = None
) -> int:
    """Return an environment variable as a number.

    Raises:
        ValueError: it is none, or out of range.
    """
    text = os.environ.get(name, str(least))
    number = int(text) if re.fullmatch(r'-?[0-9]+', text) else None
    if number is None or number < least or (below and number >= below[1]):
        limit = f' below {below[0]}={below[1]}' if below else ''
        raise ValueError(
            f'{name}: expected a whole number of at least {least}{limit}, got {text!r}. The '
            'launcher sets this variable: unset it, or start through tools/dist_*.sh'
        )
    return number


def _close_process_group() -> None:
    """End the threads of gloo while Python still runs.

    A thread that lets go of a tensor later aborts the process, after a training that succeeded
    (pytorch/pytorch#179291). The threads end with the last reference to their group. The wrapped
    model has one, in cycles that only the collector finds. Ours goes last: it alone is given up
    without the interpreter's lock, which those threads may need to finish.
    """
    if not distributed.is_initialized():
        return
    group = distributed.group.WORLD
    distributed.destroy_process_group()
    gc.collect()
    del group


def _train_in_float32_without_amp(cfg: Config) -> None:
    wrapper = cfg.get('optim_wrapper') or {}
    if mmengine_name(wrapper) != 'AmpOptimWrapper' or get_device() in AMP_DEVICES:
        return
    kept = {key: value for key, value in wrapper.items() if key not in AMP_SETTINGS}
    cfg.optim_wrapper = {**kept, 'type': 'OptimWrapper'}
    print_log(
        f'optim_wrapper: no mixed precision on device {get_device()!r}: OptimWrapper (float32) '
        'instead of AmpOptimWrapper',
        'current',
        logging.WARNING,
    )
