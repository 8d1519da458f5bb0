"""Every checkpoint of a training, cut off and with flipped bytes: found, named, not used."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from helpers.tiny_training import train
from mmengine.logging import MMLogger
from stress.trials import Trials

from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.resume import LAST, newest_checkpoint

PROMISE = 'A damaged checkpoint is never used: it is named, and `--resume` takes the one before it'


class _Heard(logging.Handler):
    """What the log says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def run(trials: Trials) -> None:
    folder = trials.room('training')
    train(folder, log_level='ERROR')
    _damage_all(trials, folder, trials.size(5, 20))


def _damage_all(trials: Trials, folder: Path, times: int) -> None:
    heard = _Heard()
    logger = MMLogger.get_current_instance()
    logger.handlers = [heard]
    logger.setLevel(logging.WARNING)
    checkpoints = sorted(folder.glob('iter_*.pth'))
    for number, path in enumerate(checkpoints):
        whole = path.read_bytes()
        content = load_from_local(str(path))
        (folder / LAST).write_text(str(path))
        before = checkpoints[number - 1] if number else None
        for kind in ('truncated', 'flipped byte'):
            for _ in range(times):
                place = trials.rng.randrange(len(whole))
                path.write_bytes(_damaged(whole, place, kind, trials))
                heard.lines.clear()
                what = f'{path.name} of {len(whole)} bytes, {kind} at {place}'
                with trials.trial(kind, what):
                    _check(folder, path, before, content, kind, heard.lines)
        path.write_bytes(whole)


def _damaged(whole: bytes, place: int, kind: str, trials: Trials) -> bytes:
    if kind == 'truncated':
        return whole[:place]
    changed = bytearray(whole)
    changed[place] ^= 1 << trials.rng.randrange(8)
    return bytes(changed)


def _check(
    folder: Path, path: Path, before: Path | None, content: Any, kind: str, said: list[str]
) -> None:
    try:
        found = newest_checkpoint(folder)
    except ValueError as error:
        if before is not None or str(path) not in str(error):
            raise
        return
    if found == str(path):
        # A byte that says nothing, such as a time stamp: all that is read is what was written.
        assert kind == 'flipped byte', 'a part of the file counts as a checkpoint'
        assert same(load_from_local(found), content), 'other content without a word'
        return
    assert before is not None, f'took {found}'
    assert found == str(before), f'took {found}'
    text = '\n'.join(said)
    assert f'{path}: expected a PyTorch checkpoint' in text, f'said {text!r}'
    assert f'{before} instead' in text, f'said {text!r}'


def same(one: Any, two: Any) -> bool:
    """Whether two checkpoints hold the same, histories of losses included."""
    if type(one) is not type(two):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if hasattr(one, 'data') and hasattr(one, 'statistics'):  # HistoryBuffer
        return all((left == right).all() for left, right in zip(one.data, two.data, strict=True))
    return bool(one == two)
