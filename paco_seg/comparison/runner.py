"""Runs cells one after the other, keeps their results and says how long the rest will take."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import paco_seg
from paco_seg.comparison.cell import Cell
from paco_seg.comparison.process import run_command

REPORT_SECONDS = 20


class CellRunner:
    """Runs cells and keeps their results.

    Args:
        root: folder of the comparison.
        total_cost: sum of the costs of all cells to come, for the estimate.
        force: repeat finished cells.
        preload: modules to import once, before the first command runs.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        total_cost: float,
        force: bool = False,
        preload: Sequence[str] = (),
    ) -> None:
        self.root = Path(root)
        self.total_cost = total_cost
        self.force = force
        self.preload = preload
        self.executed: list[str] = []
        self.commit = code_commit()
        self._reused_cost = 0.0
        self._done_cost = 0.0
        self._busy_seconds = 0.0

    def run(self, cell: Cell) -> dict:
        """Return the result of a cell, from its folder if it is done, else from its commands.

        Raises:
            RuntimeError: a command failed; names it and shows the end of its log.
        """
        folder = self.root / cell.name
        result = None if self.force else cell.finished_result(folder)
        if result is not None:
            self._reused_cost += cell.cost
            return result
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for module in self.preload:
            import_module(module)
        start = time.perf_counter()
        progress = _Progress(self, cell, folder, start)
        for number, command in enumerate(cell.commands_in(folder)):
            run_command(command, folder / f'command-{number}.log', watch=progress.tell)
        result = dict(**cell.collect(folder), commit=self.commit)
        seconds = time.perf_counter() - start
        cell.finish(folder, result, seconds)
        self.executed.append(cell.name)
        self._busy_seconds += seconds
        self._done_cost += cell.cost
        print(f'{cell.name}: done in {seconds:.0f} s{self.remaining(0.0, 0.0)}', flush=True)
        return result

    def remaining(self, current_cost: float, current_seconds: float) -> str:
        """Return a text on the time left, by what the cells so far took for their cost."""
        done = self._done_cost + current_cost
        left = self.total_cost - self._reused_cost - done
        if done <= 0 or left <= 0:
            return ''
        seconds = left * (self._busy_seconds + current_seconds) / done
        return f', about {seconds / 60:.1f} min left'


class _Progress:
    """Tells every ``REPORT_SECONDS`` how far a cell has come."""

    def __init__(self, runner: CellRunner, cell: Cell, folder: Path, start: float) -> None:
        self._runner, self._cell, self._folder = runner, cell, folder
        self._start = self._told = start

    def tell(self) -> None:
        now = time.perf_counter()
        if now - self._told <= REPORT_SECONDS:
            return
        self._told = now
        share = self._cell.progress(self._folder)
        left = self._runner.remaining(share * self._cell.cost, now - self._start)
        print(f'{self._cell.name}: {share:.0%}{left}', flush=True)


def code_commit(root: Path | None = None) -> str | None:
    """Return the last commit of what trains, marked where the files differ from it.

    Args:
        root: folder of the checkout; by default the one that holds this package.

    Returns:
        None without Git or outside a checkout.
    """
    paths = ('--', 'paco_seg', 'configs', 'tools')
    root = root or Path(paco_seg.__file__).parent.parent
    try:
        commit, changed = (
            subprocess.run(
                ['git', *command, *paths], cwd=root, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (
                ('log', '-1', '--abbrev=12', '--format=%h'),
                ('status', '--porcelain', '--untracked-files=no'),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return (commit + '-changed' * bool(changed)) or None
