"""What an area tries: a count per kind of trial, and every trial that ended otherwise."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any


class Trials:
    """Counts and losses of one area.

    Args:
        name: of the area.
        seed: decides every random choice of the area.
        folder: scratch space.
        short: the form that belongs to the tests.
    """

    def __init__(self, name: str, seed: int, folder: Path, *, short: bool) -> None:
        self.name, self.seed, self.folder, self.short = name, seed, folder, short
        self.rng = Random(f'{name} {seed}')
        self.counts: Counter[str] = Counter()
        self.figures: dict[str, Any] = {}
        self.losses: list[str] = []

    def size(self, short: Any, full: Any) -> Any:
        """The number of the form that runs."""
        return short if self.short else full

    def check(self, kind: str, holds: bool, what: str) -> bool:
        """Count one trial; ``what`` repeats it, and says what happened instead."""
        self.counts[kind] += 1
        if not holds:
            self.lose(kind, what)
        return holds

    @contextlib.contextmanager
    def trial(self, kind: str, what: str) -> Iterator[None]:
        """Count one trial, lost if the block raises."""
        self.counts[kind] += 1
        try:
            yield
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.lose(
                kind,
                f'{what}: {type(error).__name__}: {str(error)[:2000]} '
                f'({Path(where.filename).name}:{where.lineno})',
            )

    def lose(self, kind: str, what: str) -> None:
        """Write a lost trial down, and say so at once."""
        self.losses.append(f'{kind}: {what}')
        print(f'  LOST {kind}: {what}', flush=True)

    def room(self, name: str) -> Path:
        """A new folder below the scratch space."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path


def memory_mib(process: int | str = 'self') -> float:
    """Resident memory of a process now."""
    pages = int(Path(f'/proc/{process}/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20
