import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import distributed, nn

from paco_seg.engine import launch
from paco_seg.engine.launch import RANK_VARIABLES, CPUDistributedDataParallel, prepare_launch


@pytest.fixture
def one_process(monkeypatch, tmp_path):
    """Environment of one process; the port is 0, so that the system chooses a free one."""
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    for names in RANK_VARIABLES.values():
        for name in names.values():
            monkeypatch.delenv(name, raising=False)
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '0')
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name)
    yield monkeypatch
    if distributed.is_initialized():
        distributed.destroy_process_group()


def set_rank(patch, launcher='pytorch', *, rank='0', world_size='1', local_rank='0'):
    values = dict(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=local_rank)
    for name, variable in RANK_VARIABLES[launcher].items():
        patch.setenv(variable, values[name])


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_launchers_open_a_gloo_group(one_process, launcher):
    set_rank(one_process, launcher)
    cfg = Config({'launcher': launcher, 'find_unused_parameters': True})
    prepare_launch(cfg)
    assert distributed.get_backend() == 'gloo'
    assert cfg.model_wrapper_cfg == dict(
        type='CPUDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=True,
        static_graph=False,
        gradient_as_bucket_view=True,
    )
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4))
    wrapped = CPUDistributedDataParallel(model, device_ids=[0])
    assert not wrapped.broadcast_buffers
    wrapped(torch.rand(2, 3, 4, 4)).sum().backward()
    assert wrapped.module[0].weight.grad is not None


@pytest.mark.parametrize(
    ('device', 'kind'),
    [('cpu', 'CPUDistributedDataParallel'), ('cuda', 'MMDistributedDataParallel')],
)
def test_every_device_gets_the_same_wrapper(one_process, device, kind):
    """Without a word in the config; a graph is static unless gradients are accumulated."""
    one_process.setattr(launch, 'get_device', lambda: device)
    one_process.setattr(torch.cuda, 'device_count', lambda: 1)
    set_rank(one_process)
    for counts in (1, 4):
        cfg = Config({'launcher': 'pytorch', 'optim_wrapper': {'accumulative_counts': counts}})
        prepare_launch(cfg)
        assert cfg.model_wrapper_cfg == dict(
            type=kind,
            broadcast_buffers=False,
            find_unused_parameters=False,
            static_graph=counts == 1,
            gradient_as_bucket_view=True,
        )


def test_a_static_graph_of_accumulated_gradients_is_refused(one_process):
    set_rank(one_process)
    wrapper = dict(static_graph=True)
    cfg = {'launcher': 'pytorch', 'model_wrapper_cfg': wrapper}
    cfg['optim_wrapper'] = dict(accumulative_counts=2)
    message = r'^model_wrapper_cfg\.static_graph: expected False, since .*accumulative_counts is 2'
    with pytest.raises(ValueError, match=message):
        prepare_launch(Config(cfg))
    assert not distributed.is_initialized()


PROGRAM = """
import atexit, os, torch
from pathlib import Path
from torch import distributed

@atexit.register  # ahead of prepare_launch(), and therefore run after what that registers
def report():
    names = [path.read_text().strip() for path in Path('/proc/self/task').glob('*/comm')]
    print('open at the end:', distributed.is_initialized(), [n for n in names if 'gloo' in n])

from mmengine.config import Config
from paco_seg.engine.launch import CPUDistributedDataParallel, prepare_launch
prepare_launch(Config({'launcher': 'pytorch'}))

def train():
    model = CPUDistributedDataParallel(torch.nn.Linear(2, 1))
    model.module.hook = model  # a cycle, as the runner and its hooks are
    model(torch.ones(3, 2)).sum().backward()
    distributed.all_reduce(torch.ones(50_000_000), async_op=True)  # under way as Python ends

train()
print('open:', distributed.is_initialized())
"""


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='threads are listed in /proc')
def test_the_group_and_its_threads_end_before_python_does():
    ranks = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        env={**os.environ, **ranks, 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == ['open: True', 'open at the end: False []']


def test_the_first_host_of_a_slurm_job_is_the_master(one_process, tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostname node[7-8]" ] && echo 127.0.0.1 && echo node8\n'
    )
    scontrol.chmod(0o755)
    one_process.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    one_process.delenv('MASTER_ADDR', raising=False)
    one_process.setenv('SLURM_NODELIST', 'node[7-8]')
    set_rank(one_process, 'slurm')
    prepare_launch(Config({'launcher': 'slurm'}))
    assert os.environ['MASTER_ADDR'] == '127.0.0.1'
    assert distributed.is_initialized()


def test_a_wrapper_of_the_user_is_kept(one_process):
    set_rank(one_process)
    wrapper = dict(type='MMFullyShardedDataParallel')
    cfg = Config({'launcher': 'pytorch', 'model_wrapper_cfg': wrapper})
    prepare_launch(cfg)
    assert cfg.model_wrapper_cfg == wrapper


def test_nothing_happens_without_a_launcher(one_process):
    cfg = Config({'launcher': 'none'})
    prepare_launch(cfg)
    assert cfg.to_dict() == {'launcher': 'none'}
    assert not distributed.is_initialized()


AMP = dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='bfloat16', use_fsdp=False)
SHARED = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=4, clip_grad=None)


@pytest.mark.parametrize('kind', ['AmpOptimWrapper', 'mmengine.AmpOptimWrapper', AmpOptimWrapper])
def test_mixed_precision_becomes_float32_on_the_cpu(one_process, kind):
    lines = []
    one_process.setattr(launch, 'print_log', lambda text, *_: lines.append(text))
    cfg = Config({'launcher': 'none', 'optim_wrapper': {**AMP, 'type': kind, **SHARED}})
    prepare_launch(cfg)
    assert cfg.optim_wrapper == dict(type='OptimWrapper', **SHARED)
    assert lines == [
        "optim_wrapper: no mixed precision on device 'cpu': OptimWrapper (float32) instead of "
        'AmpOptimWrapper'
    ]
    parameter = nn.Parameter(torch.zeros(1))
    settings = dict(cfg.optim_wrapper, optimizer=torch.optim.SGD([parameter], lr=0.1))
    assert type(OPTIM_WRAPPERS.build(settings)) is OptimWrapper


@pytest.mark.parametrize('device', launch.AMP_DEVICES)
def test_mixed_precision_stays_on_accelerators(one_process, device):
    one_process.setattr(launch, 'get_device', lambda: device)
    cfg = Config({'launcher': 'none', 'optim_wrapper': {**AMP, **SHARED}})
    prepare_launch(cfg)
    assert cfg.optim_wrapper == {**AMP, **SHARED}


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        ('pytorch', r'--launcher pytorch: expected the variable RANK .* tools/dist_\*\.sh'),
        ('slurm', r'--launcher slurm: expected the variable SLURM_PROCID .* tools/slurm_\*\.sh'),
        ('mpi', r'--launcher mpi: expected the variable OMPI_COMM_WORLD_RANK .* mpirun'),
    ],
)
def test_a_launcher_that_did_not_launch_is_refused(one_process, launcher, message):
    with pytest.raises(ValueError, match=message):
        prepare_launch(Config({'launcher': launcher}))


def test_more_processes_than_gpus_are_refused(one_process):
    one_process.setattr(launch, 'get_device', lambda: 'cuda')
    one_process.setattr(torch.cuda, 'device_count', lambda: 2)
    set_rank(one_process, rank='2', world_size='3', local_rank='2')
    with pytest.raises(ValueError, match=r'expected at most 2 processes .* got local rank 2'):
        prepare_launch(Config({'launcher': 'pytorch'}))


@pytest.mark.parametrize(
    ('rank', 'world_size', 'message'),
    [
        ('3', '2', r"RANK: expected a whole number of at least 0 below WORLD_SIZE=2, got '3'"),
        ('2', '2', r"RANK: expected a whole number of at least 0 below WORLD_SIZE=2, got '2'"),
        ('-1', '2', r"RANK: expected a whole number of at least 0 .*, got '-1'"),
        ('a', '2', r"RANK: expected a whole number of at least 0 .*, got 'a'"),
        ('0', '0', r"WORLD_SIZE: expected a whole number of at least 1, got '0'"),
    ],
)
def test_a_rank_that_the_others_would_wait_for_is_refused(one_process, rank, world_size, message):
    set_rank(one_process, rank=rank, world_size=world_size)
    with pytest.raises(ValueError, match=message):
        prepare_launch(Config({'launcher': 'pytorch'}))
    assert not distributed.is_initialized()
