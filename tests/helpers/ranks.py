"""Runs a function in several gloo processes on the CPU and returns what each rank returned."""

from __future__ import annotations

import inspect
import os
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(function: Callable[..., Any], *args: Any, world_size: int = 2) -> list[Any]:
    """``[function(*args) on rank 0, ..., on rank R - 1]``; a function at the top of its file.

    Results travel through ``torch.save``: return tensors, numbers, or containers of them.
    """
    # By file and name: a test module imported by pytest has no name that a new process can import.
    target = (inspect.getsourcefile(function), function.__name__)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, (target, args, world_size, folder), nprocs=world_size)
        return [torch.load(Path(folder, f'{rank}.pt')) for rank in range(world_size)]


def _work(rank: int, target: tuple[str, str], args: tuple, world_size: int, folder: str) -> None:
    os.environ['CUDA_VISIBLE_DEVICES'] = ''  # these are processes on the CPU
    torch.set_num_threads(1)
    function = runpy.run_path(target[0])[target[1]]
    # A file instead of a port: nothing to collide with.
    store = f'file://{folder}/store'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=world_size)
    try:
        torch.save(function(*args), Path(folder, f'{rank}.pt'))
        dist.barrier()
    finally:
        dist.destroy_process_group()
