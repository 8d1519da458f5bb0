"""One comparison per folder at a time."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOCK = '.lock'
# Seconds to wait for a lock: trainings of a comparison that was killed end a moment after it.
PATIENCE = 10.0


@contextlib.contextmanager
def only_one(folder: Path, key: str = '--out') -> Iterator[None]:
    """Hold the folder until the block ends; the system lets it go when the process dies.

    Args:
        folder: of the comparison; created if it does not exist.
        key: option to name in the error.

    Raises:
        ValueError: another process holds it, or it holds what no comparison wrote.
    """
    _check_own(folder, key)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, 'a+', encoding='utf-8') as file:
        until = time.monotonic() + PATIENCE
        while not (locked := _lock(file)) and time.monotonic() < until:
            time.sleep(0.1)
        if not locked:
            file.seek(0)
            raise ValueError(
                f'{key}: expected a folder of no running comparison, got {str(folder)!r}, which '
                f'{file.read().strip() or "another process"} is writing to. Wait for it, or choose '
                'another folder'
            )
        file.seek(0)
        file.truncate()
        file.write(f'process {os.getpid()} on {platform.node()}')
        file.flush()
        yield


def _check_own(folder: Path, key: str) -> None:
    """Refuse a folder with files of somebody else, which a comparison would replace or remove."""
    if not folder.exists() or (folder / LOCK).exists() or _has_results(folder):
        return
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    if others:
        more = f' and {len(others) - 1} more' if len(others) > 1 else ''
        raise ValueError(
            f'{key}: expected a new folder, an empty one or that of an earlier comparison, got '
            f'{str(folder)!r} with {others[0]!r}{more}, which could be replaced. Choose another '
            f'folder; to one of a comparison that was copied without {LOCK} add that file'
        )


def _has_results(folder: Path) -> bool:
    """Whether a comparison has come to its end there; a copy may lack what is hidden."""
    try:
        content = json.loads((folder / 'results.json').read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {'systems', 'methods'} & content.keys() != set()


def _lock(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
