"""Which checkpoint a work directory continues from."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from paco_seg.engine.checkpoint import UnsafeCheckpointError, load_from_local
from paco_seg.engine.model_changes import mmengine_name

# Written by MMEngine beside the checkpoints: the path of the newest.
LAST = 'last_checkpoint'
# What CheckpointHook published beside a checkpoint, with the start of its hash
# (iter_3000-e5432409.pth).
PUBLISHED = r'-[0-9a-f]{8}\.pth'
# iter_3000.pth, epoch_12.pth; not best_mIoU_iter_3000.pth, nor what is written aside (.iter_...),
# nor what was published.
NUMBERED = re.compile(rf'(?P<kind>(?!best_)(?!.*{PUBLISHED})[^.]*?)(?P<number>\d+)\.pth')


def last_checkpoint(work_dir: str | Path) -> str | None:
    """Return the name of the checkpoint that was written last in a folder; None without one."""
    return Path(_noted(Path(work_dir)) or '').name or None


def _noted(folder: Path) -> str | None:
    """Return what ``last_checkpoint`` of a folder says; None without the file."""
    note = folder / LAST
    return note.read_text(encoding='utf-8', errors='replace').strip() if note.is_file() else None


def newest_checkpoint(work_dir: str | Path) -> str | None:
    """Find the newest checkpoint of a training that can be read.

    That is the one named in ``last_checkpoint``, looked for by its name in ``work_dir`` first (the
    folder may have moved since) and under its path then. If it is damaged or gone, or the file is
    empty, the one before it, with a warning that names both.

    Args:
        work_dir: folder of the training.

    Returns:
        Path of the checkpoint; ``None`` if the folder holds none, nor a ``last_checkpoint``.

    Raises:
        ValueError: there are checkpoints, or there was one, but none can be read.
    """
    folder = Path(work_dir)
    note, named = folder / LAST, _noted(folder)
    refused = []
    for path in _candidates(folder, named):
        try:
            load_from_local(str(path), map_location='cpu')
        except UnsafeCheckpointError:
            raise
        except ValueError as error:
            refused.append(str(error))
            print_log(f'{error}. Looking for an earlier one', 'current', logging.WARNING)
            continue
        if named is not None and (refused or not named or path.name != Path(named).name):
            print_log(
                f'{note} names {named!r}, which cannot be used: {path} instead',
                'current',
                logging.WARNING,
            )
        return str(path)
    if named is None and not refused:
        return None
    got = ' | '.join(refused) or f'{named!r} and no other checkpoint beside it'
    raise ValueError(
        f'{note}: expected the path of a checkpoint that can be read, got {got}. Pass a checkpoint '
        'by its path, or remove the file to start over'
    )


def _candidates(folder: Path, named: str | None) -> Iterator[Path]:
    """The checkpoint named in ``last_checkpoint``, then the others, newest first."""
    last = Path(named) if named else None
    if last is not None:
        here = folder / last.name
        if here.is_file():
            yield here
        elif last.is_file():  # CheckpointHook.out_dir is another folder
            yield last
            folder = last.parent
    limit = NUMBERED.fullmatch(last.name) if last is not None else None
    found = []
    for path in folder.glob('*.pth') if folder.is_dir() else ():
        match = NUMBERED.fullmatch(path.name)
        if match is None or path.name == (last.name if last is not None else None):
            continue
        number = int(match['number'])
        # A higher number than the last one's is of an earlier training in the same folder.
        if limit is None or (limit['kind'] == match['kind'] and number < int(limit['number'])):
            found.append((number, path))
    for _, path in sorted(found, reverse=True):
        yield path


def last_written(runner: Runner) -> str | None:
    """Path of the newest checkpoint that this training has written.

    Neither ``last_checkpoint`` nor the message hub says so: the one may be of an earlier training
    in the same folder, the other of the checkpoint that is resumed.
    """
    return next((hook.written for hook in runner.hooks if getattr(hook, 'written', None)), None)


def resumed_from(runner: Runner) -> str | None:
    """Path of the checkpoint that this training was resumed from."""
    return runner.cfg.get('load_from') if runner.cfg.get('resume') else None


def way_back(runner: Runner) -> str:
    """Say how a training that ends early goes on: words that follow a colon."""
    if last_written(runner) is not None:
        return 'continue with --resume'
    if resumed_from(runner):
        return f'continue with --resume {resumed_from(runner)}'
    if (Path(runner.work_dir) / LAST).is_file():
        return (
            f'no checkpoint was written yet, start again; {LAST} in {runner.work_dir} is of an '
            'earlier training, which --resume would continue'
        )
    return 'no checkpoint was written yet, start again'


def use_resume(cfg: Config, resume: str) -> None:
    """Point the Runner to the checkpoint and take over its seed.

    The loader shuffles by the seed and is built before the Runner reads the checkpoint: a seed
    that the first run drew itself has to be known now.

    Args:
        cfg: the complete config, changed in place.
        resume: path of a checkpoint, or ``'auto'`` for the newest of ``cfg.work_dir``; if there is
            none, the training starts from its beginning.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or is not the checkpoint of a training.
    """
    if mmengine_name(cfg.get('strategy') or {}) == 'DeepSpeedStrategy':
        # Folders, which DeepSpeed alone can read; without a path MMEngine looks for the latest.
        cfg.resume, cfg.load_from = True, None if resume == 'auto' else resume
        return
    checkpoint = newest_checkpoint(cfg.work_dir) if resume == 'auto' else resume
    cfg.resume = checkpoint is not None
    if checkpoint is None:
        return
    cfg.load_from = checkpoint
    randomness = cfg.get('randomness') or {}
    if randomness.get('seed') is not None or '://' in checkpoint:
        return
    seed = load_from_local(checkpoint, map_location='cpu').get('meta', {}).get('seed')
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise ValueError(
            f'{checkpoint}: meta.seed: expected an integer >= 0, got {seed!r}. Set randomness.seed '
            'in the config'
        )
    cfg.randomness = dict(randomness, seed=seed)
