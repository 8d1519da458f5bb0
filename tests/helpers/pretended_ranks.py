"""Two processes, each with a pretended GPU, that share their pixels over gloo."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers.pretended_cuda import pretended_cuda, to_device


def run(rank: int, port: int, folder: str) -> None:
    """Write the waits of a step of the pixel loss of this rank, by scope and queue."""
    from paco_seg.core import KeyQueue
    from paco_seg.seg.losses import PixelGPaCoLoss

    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    waits = {}
    for scope in ('image', 'world'):
        loss = PixelGPaCoLoss(scope=scope, impl='streaming')
        rng = torch.Generator().manual_seed(rank)
        pixels = 6 + rank  # ranks may hold different numbers
        embeddings = F.normalize(torch.randn(2, pixels, 8, generator=rng), dim=-1)
        labels = torch.randint(0, 3, (2, pixels), generator=rng)
        logits = torch.randn(2, pixels, 3, generator=rng)
        with pretended_cuda() as trace:
            there = to_device([embeddings.requires_grad_(), labels, logits.requires_grad_()])
            loss(*there)
            trace.clear()
            value = loss(*there)
            value.backward()
            waits[scope] = sum(trace.own_waits().values())
            assert value.held.isfinite()
    with pretended_cuda() as trace:
        queue = to_device(KeyQueue(16, 8))
        rows, labels = to_device([embeddings.detach().flatten(0, 1), labels.flatten()])
        trace.clear()
        queue.enqueue(rows, labels, labels > 0)
        waits['queue'] = sum(trace.own_waits().values())
    torch.save(waits, Path(folder) / f'{rank}.pt')
    dist.destroy_process_group()
