"""Trainings that are killed, resumed, killed again, and end as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from helpers.run_state import assert_same_run
from stress.children import Child, command, commands_on_ranks
from stress.configs import GPACO_SEG, PACO_CLS, cls_config, seg_config
from stress.trials import Trials

from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.resume import newest_checkpoint

PROMISE = (
    'A training that is killed at any moment, also while it writes, continues with `--resume` and '
    'ends bit for bit as one that was not. Exceptions: a checkpoint inside an epoch of a training '
    'by epochs (`by_epoch=False` there), which MMEngine continues with the whole epoch, as a '
    'warning says; gradient accumulation in several processes, '
    'where a checkpoint lies inside an accumulation, and `save_best`, which does not see a '
    'validation that was killed'
)
# Calls that write or remove: where a kill meets a checkpoint that is half there.
WRITING = ((torch, 'save'), (os, 'fsync'), (os, 'replace'), (os, 'remove'), (Path, 'unlink'))


@dataclass(frozen=True)
class Variant:
    """What is on in a training."""

    task: str
    keep: int
    ema: bool = True
    workers: int = 0
    processes: int = 1
    accumulate: int = 1
    interval: int = 2

    def write(self, folder: Path) -> Path:
        settings = dict(
            keep=self.keep, ema=self.ema, workers=self.workers, accumulate=self.accumulate
        )
        if self.task == 'seg':
            steps = dict(iters=3 * self.interval, interval=self.interval)
            return seg_config(folder, GPACO_SEG.format(**settings, **steps))
        return cls_config(folder, PACO_CLS.format(**settings, epochs=3))

    @property
    def last(self) -> str:
        return f'iter_{3 * self.interval}.pth' if self.task == 'seg' else 'epoch_3.pth'


SHORT = [Variant('seg', keep=1, accumulate=2, interval=3), Variant('cls', keep=1, workers=1)]
FULL = [
    *SHORT,
    Variant('seg', keep=1, workers=2),
    Variant('seg', keep=3, workers=2, accumulate=2, interval=3),
    Variant('seg', keep=3, ema=False),
    Variant('seg', keep=1, processes=2, accumulate=2),
    Variant('seg', keep=3, processes=2, workers=2),
    Variant('cls', keep=3, accumulate=2),
    Variant('cls', keep=1, processes=2, workers=1),
]


def run(trials: Trials) -> None:
    for number, variant in enumerate(trials.size(SHORT, FULL)):
        folder = trials.room(f'{number}')
        config = variant.write(folder)
        began = time.monotonic()
        straight = _train(variant, config, folder / 'straight', ())
        codes = [child.wait() for child in straight]
        duration = time.monotonic() - began
        said = straight[0].said()[-2000:]
        if not trials.check('uninterrupted', not any(codes), f'{variant}: {codes}\n{said}'):
            continue
        for attempt in range(trials.size(1, 2)):
            what = f'{variant}, attempt {attempt}'
            with trials.trial('trainings ended as if not killed', what):
                _kill_and_resume(trials, variant, config, folder, f'{attempt}', duration)


def _kill_and_resume(
    trials: Trials, variant: Variant, config: Path, folder: Path, name: str, duration: float
) -> None:
    work = folder / name
    first = int(variant.task == 'cls')  # the short form has one kill of each kind
    for round_ in range(first, first + trials.size(1, 3)):
        # A call is where it hurts and is repeated by its seed; a moment is what happens.
        if round_ % 2 == 0:
            owner, function = trials.rng.choice(WRITING)
            number = trials.rng.randint(1, 8)
            broken = _die_in(owner, function, number)
            children = _train(variant, config, work, ('--resume',), broken)
            kind = 'killed while writing'
        else:
            children = _train(variant, config, work, ('--resume',))
            time.sleep(trials.rng.uniform(0.1, 0.8) * duration)
            children[trials.rng.randrange(len(children))].kill()
            kind = 'killed at a random moment'
        codes = [child.wait() for child in children]
        assert None not in codes, f'a process hangs: {codes}'
        if -signal.SIGKILL in codes:
            trials.counts[kind] += 1
        else:
            assert not any(codes), f'exit {codes}: {children[0].said()[-2000:]}'
        for child in children:
            assert not child.left_behind(), 'workers outlived their training'
        _check_folder(work)
    children = _train(variant, config, work, ('--resume',))
    codes = [child.wait() for child in children]
    assert codes == [0] * len(children), f'exit {codes}: {children[0].said()[-2000:]}'
    _compare(variant, folder / 'straight', work)


def _train(
    variant: Variant,
    config: Path,
    work: Path,
    more: tuple[str, ...],
    before: Callable[[], None] | None = None,
) -> list[Child]:
    words = ('train', config, '--work-dir', work, *more)
    log = work.with_name(f'{work.name}.log')
    if variant.processes == 1:
        return [command(*words, before=before, log=log)]
    # Rank 0 writes; without it the others have to end as well.
    return commands_on_ranks(*words, before=(before, None), log=log)


def _die_in(owner: object, name: str, number: int) -> Callable[[], None]:
    """Let the call ``number`` of a function do half of its work and be the last of its process."""

    def install() -> None:
        original = getattr(owner, name)
        calls = []

        def dying(*args: object, **kwargs: object) -> object:
            calls.append(1)
            if len(calls) < number:
                return original(*args, **kwargs)
            if name == 'save':
                original(*args, **kwargs)
                args[1].truncate(200)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        setattr(owner, name, dying)

    return install


def _check_folder(work: Path) -> None:
    """What a killed training leaves: something to resume from, once there was something."""
    final = [path for path in work.glob('*.pth') if not path.name.startswith('.')]
    for path in final:
        load_from_local(str(path), map_location='cpu')  # complete under a final name
    numbered = [path for path in final if not path.name.startswith('best_')]
    if numbered or (work / 'last_checkpoint').exists():
        assert newest_checkpoint(work) is not None, 'nothing to resume from'


def _compare(variant: Variant, straight: Path, work: Path) -> None:
    # Which validation was the best is another matter: one that a kill ended is not repeated.
    best = [path for path in work.glob('best_*.pth') if load_from_local(str(path))]
    assert best, 'no best checkpoint'
    names = [
        sorted(path.name for path in folder.glob('*.pth') if not path.name.startswith('best_'))
        for folder in (straight, work)
    ]
    assert names[0] == names[1], f'files {names[1]} instead of {names[0]}'
    for name in names[0]:
        assert_same_run(straight / name, work / name)
        one, two = (load_from_local(str(folder / name)) for folder in (straight, work))
        for part in ('state_dict', 'ema_state_dict'):
            assert one.get(part, {}).keys() == two.get(part, {}).keys(), f'{name}: {part}'
            for key, value in one.get(part, {}).items():
                assert torch.equal(value, two[part][key]), f'{name}: {part}.{key}'
    if variant.ema:
        assert 'ema_state_dict' in load_from_local(str(work / variant.last))
    left = [path.name for path in work.glob('.*.part*')]
    assert not left, f'unfinished files stay: {left}'
