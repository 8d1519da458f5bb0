"""The formulas of docs/scale.md against what 64 simulated ranks hand to ``torch.distributed``."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import mmengine.dist
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers import contrastive
from torch.testing._internal.distributed import multi_threaded_pg

import paco_seg.cls
import paco_seg.seg  # noqa: F401
from paco_seg.core import KeyQueue
from paco_seg.seg.losses import PixelGPaCoLoss
from tests.conftest import load_script

SCALE = load_script(Path(__file__).parents[1] / 'docs' / 'scale.py')
RANKS, CHANNELS, CLASSES = 64, 8, 5


@pytest.fixture
def simulate(monkeypatch) -> Callable:
    """``simulate(work)`` -> results of ``work(rank)`` and its collectives, by rank.

    A rank is a thread, and a collective is computed once all of them have called it.
    """
    calls: dict[int, list] = defaultdict(list)

    def recorded(kind, place):
        original = getattr(dist, kind)

        def call(*args, **kwargs):
            tensor = args[place]
            calls[dist.get_rank()].append(
                SCALE.Collective(kind, tuple(tensor.shape), tensor.element_size())
            )
            return original(*args, **kwargs)

        return call

    for kind, place in (('all_gather', 1), ('all_reduce', 0), ('broadcast', 0)):
        monkeypatch.setattr(dist, kind, recorded(kind, place))
    # MMEngine asks where the tensors of a backend live, and knows no threads.
    monkeypatch.setattr(mmengine.dist, 'broadcast', lambda tensor: dist.broadcast(tensor, 0))

    def run(work):
        store, results, errors = dist.HashStore(), {}, []

        def rank_of(rank):
            try:
                dist.init_process_group('threaded', rank=rank, world_size=RANKS, store=store)
                results[rank] = work(rank)
                dist.destroy_process_group()
            except BaseException as error:
                errors.append(error)
                multi_threaded_pg.ProcessLocalGroup.exception_handle(error)

        calls.clear()
        threads = [threading.Thread(target=rank_of, args=(rank,)) for rank in range(RANKS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors[0]
        return [results[rank] for rank in range(RANKS)], [calls[rank] for rank in range(RANKS)]

    multi_threaded_pg._install_threaded_pg()
    # Each thread may name its group as the others do.
    torch._C._distributed_c10d._set_thread_isolation_mode(True)
    # Backward passes of CPU tensors stay in the thread of their rank.
    with torch.autograd.set_multithreading_enabled(False):
        yield run
    torch._C._distributed_c10d._set_thread_isolation_mode(False)
    multi_threaded_pg._uninstall_threaded_pg()


def rows_of(rank, count):
    rng = torch.Generator().manual_seed(rank)
    rows = F.normalize(torch.randn(count, CHANNELS, generator=rng), dim=1)
    labels = torch.randint(0, CLASSES, (count,), generator=rng)
    return rows, labels, torch.randn(count, CLASSES, generator=rng)


def test_world_scope_of_64_ranks(simulate):
    """Bytes and shapes as the formula has them; value and gradient those of the joined batch."""
    counts = [3 + rank % 2 for rank in range(RANKS)]

    def step(rank):
        rows, labels, logits = rows_of(rank, counts[rank])
        rows.requires_grad_()
        loss = PixelGPaCoLoss(scope='world', alpha=0.05, temperature=0.2)
        value = loss(rows.unsqueeze(0), labels.unsqueeze(0), logits.unsqueeze(0))
        value.backward()
        return value.detach(), rows.grad

    results, calls = simulate(step)
    joined = [torch.cat(part) for part in zip(*map(rows_of, range(RANKS), counts), strict=True)]
    rows = joined[0].requires_grad_()
    loss = PixelGPaCoLoss(scope='batch', alpha=0.05, temperature=0.2)
    value = loss(rows.unsqueeze(0), joined[1].unsqueeze(0), joined[2].unsqueeze(0))
    value.backward()
    torch.testing.assert_close(torch.stack([r[0] for r in results]).mean(), value.detach())
    gradient = torch.cat([r[1] for r in results]) / RANKS
    torch.testing.assert_close(gradient, rows.grad, rtol=1e-4, atol=1e-7)
    wanted = list(SCALE.world_scope(RANKS, max(counts), CHANNELS).collectives)
    # The sum over gradients has the rows that there are, not the longest rank's times R.
    wanted[-1] = wanted[-1]._replace(shape=(sum(counts), CHANNELS))
    assert all(found == wanted for found in calls)


@pytest.mark.parametrize('chosen', [False, True])
def test_queue_of_64_ranks(simulate, chosen):
    queues = [KeyQueue(100, CHANNELS) for _ in range(RANKS)]

    def step(rank):
        rows, labels, _ = rows_of(rank, 4)
        queues[rank].enqueue(rows, labels, labels > 0 if chosen else None)

    _, calls = simulate(step)
    wanted = list(SCALE.queue(RANKS, 4, 100, CHANNELS, chosen=chosen).collectives)
    assert all(found == wanted for found in calls)
    for queue in queues:
        assert torch.equal(queue.keys, queues[0].keys)
    assert (queues[0].labels >= 0).all()


def test_shuffled_keys_of_64_ranks(simulate):
    model = contrastive.build_classifier('PaCo')
    model.momentum_encoder.eval()

    def step(rank):
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(rank))
        with torch.no_grad():
            return model._keys(images), model._encode_keys(images)

    results, calls = simulate(step)
    for shuffled, alone in results:
        torch.testing.assert_close(shuffled, alone)
    wanted = list(SCALE.key_shuffle(RANKS, 2, (3, 8, 8)).collectives)
    width = results[0][0].shape[1]
    wanted[-1] = wanted[-1]._replace(shape=(2, width))
    assert all(found == wanted for found in calls)


def test_bytes_by_hand():
    """Two ranks, 3 rows of 4 channels."""
    cost = SCALE.world_scope(2, 3, 4)
    gathers, sums = 8 + 3 * 16 + 3 * 8, 8 + 6 * 16
    assert cost.received(2) == gathers * 1 + sums * 2 * 1 / 2
    assert cost.memory == 6 * 24 + 3 * 24 + 9 * 16
    # All keys of three ranks: two others send theirs.
    assert SCALE.queue(3, 5, 7, 4).received(3) == 2 * (8 + 5 * 16 + 5 * 8)
    assert SCALE.center_logits(10, 22_000) == 3 * 10 * 22_000 * 4
    assert SCALE.pixels_enqueued(2, 8192, 19) == 380
    assert SCALE.pixels_enqueued(2, 8192, 22_000) == 16384


def test_a_shard_of_a_queue_keeps_less_and_sends_more():
    whole, part = SCALE.queue(64, 256, 65536), SCALE.sharded_queue(64, 256, 65536)
    assert part.memory < whole.memory / 2
    assert part.received(64) > 2 * whole.received(64)
