"""What each of two CPU processes does in the distributed tests of the core.

A module of its own because spawned processes import it by name. Each worker saves what it saw;
the tests compare.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn import functional as F

from paco_seg.core import KeyQueue, parametric_contrastive_loss
from paco_seg.core.distributed import all_reduce_sum, gather_rows, rank, world_size

COUNTS = {'equal': (3, 3), 'uneven': (4, 1), 'empty rank': (0, 2), 'all empty': (0, 0)}


def rows_of_rank(case: str, process: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(process)
    return torch.randn(COUNTS[case][process], 2, generator=rng, dtype=torch.float64)


def loss_of_rank(process: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit rows, labels and logits of one process; processes hold different counts."""
    rng = torch.Generator().manual_seed(process)
    count = 5 - 2 * process
    rows = F.normalize(torch.randn(count, 4, generator=rng, dtype=torch.float64), dim=1)
    labels = torch.randint(0, 3, (count,), generator=rng)
    return rows, labels, torch.randn(count, 3, generator=rng, dtype=torch.float64)


def run(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=process, world_size=2)
    seen: dict[str, object] = {'rank': rank(), 'world_size': world_size()}

    for case in COUNTS:
        rows = rows_of_rank(case, process).requires_grad_()
        gathered = gather_rows(rows)
        # Rank r weighs row k of rank s by (r + 1)(10 s + k): every rank sends another gradient.
        terms = [
            (part * torch.arange(10.0 * s, 10.0 * s + len(part)).unsqueeze(1)).sum()
            for s, part in enumerate(gathered)
        ]
        ((process + 1) * sum(terms)).backward()
        seen[case] = [part.detach() for part in gathered], rows.grad

    integers = torch.arange(process + 1)
    seen['integers'] = gather_rows(integers)

    value = torch.tensor([1.0 + process])
    seen['all_reduce_sum'] = all_reduce_sum(value), value

    queue = KeyQueue(5, 2)
    for step in range(3):
        count = step + process  # 0 + 1, 1 + 2, 2 + 3 keys: wraps around
        labels = torch.arange(count) + 100 * process + 10 * step
        queue.enqueue(labels.unsqueeze(1).expand(-1, 2).float(), labels)
    seen['queue'] = queue.state_dict()

    # One contrast set over all processes: the rows of the others are keys.
    rows, labels, logits = loss_of_rank(process)
    rows.requires_grad_()
    others = 1 - process
    loss = parametric_contrastive_loss(
        rows,
        labels,
        logits,
        alpha=0.3,
        temperature=0.2,
        keys=gather_rows(rows)[others],
        key_labels=gather_rows(labels)[others],
        reduction='sum',
        impl='streaming',
        chunk_size=2,
    )
    loss.backward()
    seen['loss'] = loss.detach(), rows.grad

    torch.save(seen, Path(folder) / f'{process}.pt')
    dist.destroy_process_group()
