"""Several processes against one, and against each other: uneven, empty, dead, wrong or stuck."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmpretrain.registry
import mmseg.registry
import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers.suites import ROOT, run_suite
from mmengine.registry import DefaultScope
from stress.children import commands_on_ranks, on_ranks
from stress.configs import GPACO_SEG, seg_config
from stress.trials import Trials
from torch import Tensor

from paco_seg.core import KeyQueue
from paco_seg.core.distributed import gather_rows, rank, world_size

PROMISE = (
    'Two processes train as one does on the joined batch, however uneven they are; when a process '
    'dies or raises, the others end within 60 s, and when one stalls within '
    '`env_cfg.dist_cfg.timeout` and 60 s, with a line that names the process and the step'
)
CLASSES, CHANNELS = 4, 6
END_SECONDS = 60.0
STALL_SECONDS = 5


def run(trials: Trials) -> None:
    _joined(trials)
    _broken(trials)
    if not trials.short:  # they are tests of their own
        _suites(trials)


# Region branches, heads and queues of classification, and trainings on two ranks against one.
SUITES = (
    'core/test_distributed.py',
    'seg/heads/test_gpaco_branch.py',
    'seg/compared/test_region_rebalance_branch.py',
    'cls/classifiers/test_gpaco_classifier.py',
    'cls/classifiers/test_paco_classifier.py',
    'cls/compared/test_supcon_loss.py',
    'cls/compared/test_bcl_cls_head.py',
    'cls/compared/test_proco_cls_head.py',
    'cls/compared/test_lift.py',
    'cli/test_dist.py',
)


def _suites(trials: Trials) -> None:
    for name in SUITES:
        with trials.trial('suites of two processes', name):
            run_suite(ROOT / 'tests' / name)


# Each case: what a process computes from its rows, as a loss whose mean over processes is that of
# the joined batch.
def _pixel_loss(scope: str, **settings: Any) -> Callable[..., Tensor]:
    with DefaultScope.overwrite_default_scope('mmseg'):
        loss = mmseg.registry.MODELS.build(
            dict(type='PixelGPaCoLoss', scope=scope, alpha=0.05, temperature=0.2, **settings)
        )

    def call(rows: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        value: Tensor = loss(rows.unsqueeze(0), labels.unsqueeze(0), logits.unsqueeze(0))
        return value

    return call


def _supcon(rows: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loss = mmpretrain.registry.MODELS.build(dict(type='SupConLoss', temperature=0.2))
    value: Tensor = loss(rows, labels)
    return value


CASES: dict[str, tuple[Callable[[], Callable[..., Tensor]], bool]] = {
    # name -> (loss, whether processes may hold other numbers of rows, none, or none that counts)
    'pixels, scope world': (lambda: _pixel_loss('world'), True),
    'pixels, scope world, streaming': (
        lambda: _pixel_loss('world', impl='streaming', chunk_size=3),
        True,
    ),
    'SupCon': (lambda: _supcon, False),
}


def _rows(seed: int, process: int, count: int, ignored: float) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1000 * seed + process)
    rows = F.normalize(torch.randn(count, CHANNELS, generator=rng, dtype=torch.float64), dim=1)
    labels = torch.randint(0, CLASSES, (count,), generator=rng)
    labels[torch.rand(count, generator=rng) < ignored] = 255
    return rows, labels, torch.randn(count, CLASSES, generator=rng, dtype=torch.float64)


def _joined(trials: Trials) -> None:
    plans: list[dict[str, Any]] = []
    for seed in range(trials.size(12, 200)):
        for name, (_, uneven) in CASES.items():
            processes = 2
            even = trials.rng.randint(1, 6)
            counts = [trials.rng.randint(0, 6) if uneven else even for _ in range(processes)]
            ignored = [
                trials.rng.choice([0.0, 0.3, 1.0]) if uneven else 0.0 for _ in range(processes)
            ]
            plans.append(dict(case=name, seed=seed, counts=counts, ignored=ignored))
    folder = trials.room('joined')
    children = on_ranks(_work, [(plans, folder)] * 2, folder / 'log')
    codes = [child.wait() for child in children]
    said = '\n'.join(child.said()[-1500:] for child in children)
    if not trials.check('joined batches', codes == [0, 0], f'exit {codes}: {said}'):
        return
    seen = [torch.load(folder / f'{process}.pt') for process in range(2)]
    for plan, *results in zip(plans, *(found['losses'] for found in seen), strict=True):
        with trials.trial('joined batches', str(plan)):
            loss, gradient = _alone(plan)
            mean = sum(value for value, _ in results) / 2
            torch.testing.assert_close(mean, loss, rtol=1e-9, atol=1e-10)
            # Data-parallel training averages the gradients of the processes.
            joined = torch.cat([part for _, part in results]) / 2
            torch.testing.assert_close(joined, gradient, rtol=1e-9, atol=1e-10)
    for number, (first, second, wanted) in enumerate(
        zip(seen[0]['queues'], seen[1]['queues'], _queues_alone(plans), strict=True)
    ):
        same = all(torch.equal(first[key], second[key]) for key in first)
        like_one = all(torch.equal(first[key], wanted[key]) for key in first)
        trials.check('queues', same and like_one, f'{plans[number]}: {first} {second} {wanted}')


def _parts(plan: dict[str, Any]) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [
        _rows(plan['seed'], process, count, ignored)
        for process, (count, ignored) in enumerate(
            zip(plan['counts'], plan['ignored'], strict=True)
        )
    ]


def _alone(plan: dict[str, Any]) -> tuple[Tensor, Tensor]:
    rows, labels, logits = (torch.cat(part) for part in zip(*_parts(plan), strict=True))
    rows.requires_grad_()
    logits.requires_grad_()
    loss = CASES[plan['case']][0]()(rows, labels, logits)
    loss.backward()
    return loss.detach(), torch.zeros_like(rows) if rows.grad is None else rows.grad


def _work(plans: list[dict[str, Any]], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    losses, queues = [], []
    queue = KeyQueue(7, CHANNELS)
    for plan in plans:
        rows, labels, logits = _parts(plan)[rank()]
        rows.requires_grad_()
        loss = CASES[plan['case']][0]()(rows, labels, logits)
        loss.backward()
        losses.append((loss.detach(), torch.zeros_like(rows) if rows.grad is None else rows.grad))
        queue.enqueue(rows, labels, labels != 255)
        queues.append({key: value.clone() for key, value in queue.state_dict().items()})
        # Every process sees the same parts in the same order.
        assert [len(part) for part in gather_rows(labels)] == plan['counts']
    assert world_size() == 2
    torch.save(dict(losses=losses, queues=queues), folder / f'{rank()}.pt')
    dist.barrier()
    dist.destroy_process_group()


def _queues_alone(plans: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
    queue, found = KeyQueue(7, CHANNELS), []
    for plan in plans:
        rows, labels, _ = (torch.cat(part) for part in zip(*_parts(plan), strict=True))
        queue.enqueue(rows, labels, labels != 255)
        found.append({key: value.clone() for key, value in queue.state_dict().items()})
    return found


def _break_at(iteration: int, how: str) -> Callable[[], None]:
    """Let the process die, raise or stall at an iteration of its training."""

    def install() -> None:
        from mmengine.runner import IterBasedTrainLoop

        run_iter = IterBasedTrainLoop.run_iter

        def broken(self: Any, batch: Any) -> None:
            if self._iter == iteration:
                if how == 'dies':
                    os.kill(os.getpid(), signal.SIGKILL)
                if how == 'raises':
                    raise RuntimeError('this process is broken')
                time.sleep(600)
            run_iter(self, batch)

        IterBasedTrainLoop.run_iter = broken

    return install


def _broken(trials: Trials) -> None:
    room = trials.room('broken')
    settings = dict(keep=1, ema=False, workers=0, accumulate=1, iters=6, interval=3)
    extra = GPACO_SEG.format(**settings)
    config = seg_config(
        room, f'{extra}env_cfg = dict(dist_cfg=dict(backend="gloo", timeout={STALL_SECONDS}))\n'
    )
    kinds = trials.size(['dies'], ['dies', 'raises', 'stalls'])
    for attempt in range(trials.size(1, 4)):
        for how in kinds:
            victim, iteration = trials.rng.randrange(2), trials.rng.randrange(1, 6)
            before: list[Any] = [None, None]
            before[victim] = _break_at(iteration, how)
            log = room / f'{how}{attempt}.log'
            children = commands_on_ranks(
                'train', config, '--work-dir', room / f'{how}{attempt}', before=before, log=log
            )
            # From when it is broken: a stalled one never ends by itself.
            if how != 'stalls':
                children[victim].wait()
            began = time.monotonic()
            code = children[1 - victim].wait()
            seconds = time.monotonic() - began
            said = children[1 - victim].said()
            for child in children:
                child.kill()
                child.left_behind()
            what = f'rank {victim} {how} at {iteration}: exit {code} after {seconds:.1f} s: '
            limit = END_SECONDS + (STALL_SECONDS + 60 if how == 'stalls' else 0)
            last = said.splitlines()[-1:] or ['']
            named = f'rank {1 - victim}' in last[0] and 'iteration' in last[0]
            fine = code not in (0, None) and seconds < limit and named
            trials.check(f'a process {how}', fine, what + said[-1200:])
            key = f'longest wait where a process {how}, in seconds'
            trials.figures[key] = round(max(trials.figures.get(key, 0.0), seconds), 1)
