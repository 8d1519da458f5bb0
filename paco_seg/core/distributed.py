"""The one place that knows ranks. Every function is the identity without a process group."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def world_size() -> int:
    """Return the number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process; 0 without a process group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def all_reduce_sum(value: Tensor) -> Tensor:
    """Sum over ranks, without gradient; the argument itself in one process."""
    if world_size() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value


def row_counts(rows: Tensor) -> list[int]:
    """Exchange the numbers of rows of all ranks, in rank order; the host waits for them, once.

    Several tensors with the same numbers of rows need one exchange: see :func:`gather_rows`.
    """
    if world_size() == 1:
        return [len(rows)]
    own = torch.full((1,), len(rows), device=rows.device)  # a constant needs no copy to the device
    counts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(counts, own)
    return [int(count) for count in torch.cat(counts).tolist()]


def gather_rows(rows: Tensor, counts: list[int] | None = None) -> list[Tensor]:
    """Gather the rows of every rank, in rank order, with gradient; ranks may hold different counts.

    Every rank must call it, in forward and in backward: a rank without rows passes an empty
    tensor. The gradient of a row is the sum of what all ranks send to it.

    Args:
        rows: (n_r, ...) on rank r.
        counts: :func:`row_counts`, where the caller knows it; else it is exchanged first.

    Returns:
        R tensors (n_0, ...), ..., (n_{R-1}, ...); ``[rows]`` in one process.
    """
    if world_size() == 1:
        return [rows]
    gathered: tuple[Tensor, ...] = _GatherRows.apply(rows, counts)
    return list(gathered)


def joined_rows(*rows: Tensor) -> tuple[Tensor, ...]:
    """Join the rows of all ranks, in rank order; the host waits for their numbers once.

    Args:
        *rows: tensors (n_r, ...) with the same number of rows.

    Returns:
        For each, (n_0 + ... + n_{R-1}, ...); the arguments themselves in one process.
    """
    if world_size() == 1:
        return rows
    counts = row_counts(rows[0])
    return tuple(torch.cat(gather_rows(part, counts)) for part in rows)


def other_rows(rows: Tensor, counts: list[int] | None = None) -> Tensor:
    """Gather the rows of all other ranks, with gradient; none in one process.

    Args:
        rows: (n_r, ...) on rank r.
        counts: as for :func:`gather_rows`.

    Returns:
        (sum of the others' n_r, ...), in rank order.
    """
    parts = gather_rows(rows, counts)
    return torch.cat([rows[:0], *(part for i, part in enumerate(parts) if i != rank())])


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int] | None) -> tuple[Tensor, ...]:
        ctx.sizes = row_counts(rows) if counts is None else counts
        # Collectives want equal shapes: pad to the longest rank, cut afterwards.
        padded = rows.new_zeros(max(ctx.sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in ctx.sizes]
        dist.all_gather(gathered, padded)
        return tuple(part[:count] for part, count in zip(gathered, ctx.sizes, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = torch.cat([grad.contiguous() for grad in grads])
        dist.all_reduce(total)
        start = sum(ctx.sizes[: rank()])
        return total[start : start + ctx.sizes[rank()]], None
