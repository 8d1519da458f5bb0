"""Runs cells, one after the other or some at a time, and tells how long the rest will take."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from importlib import import_module
from pathlib import Path

import paco_seg
from paco_seg.comparison.cell import DONE, Cell
from paco_seg.comparison.process import ending_by_exception, start_method, watch_command
from paco_seg.files import write_json

REPORT_SECONDS = 20
FORCED = 'forced.json'  # names of the cells that an unfinished run with ``force`` has repeated
SMALLEST_FREE = 64 * 2**20  # bytes of disk; below it a failure is one of the disk


class CellRunner:
    """Runs cells and keeps their results.

    Args:
        root: folder of the comparison.
        total_cost: sum of the costs of all cells to come, for the estimate.
        force: repeat finished cells, but for those that an earlier run with ``force``, which did
            not come to its end, has repeated already.
        preload: modules to import once, before the first command runs, where commands are forks.
        gpus: the cells that run at a time get one GPU each, out of so many; 0 leaves the choice to
            the commands.
        keep_replaced: keep the result of an outdated cell in the folder ``replaced``, and take it
            from there when the cell is what it was.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        total_cost: float,
        force: bool = False,
        preload: Sequence[str] = (),
        gpus: int = 0,
        keep_replaced: bool = False,
    ) -> None:
        self.root = Path(root)
        self.total_cost = total_cost
        self.force = force
        self.preload = preload
        self.gpus = gpus
        self.keep_replaced = keep_replaced
        self.executed: list[str] = []
        self.repeated = _names_in(self.root / FORCED) if force else set()
        self.commit = code_commit()
        self._reused_cost = 0.0
        self._done_cost = 0.0
        self._busy_seconds = 0.0
        self._workers = 1

    def run(self, cell: Cell) -> dict:
        """Return the result of a cell, from its folder if it is done, else from its commands.

        Raises:
            ChildProcessError: a command failed; names it and shows the end of its log.
        """
        return self.run_all([cell])[0]

    def run_all(self, cells: Sequence[Cell], *, workers: int = 1) -> list[dict]:
        """Return the results of cells that do not need each other, some of them run at a time.

        Args:
            cells: in the order in which they start.
            workers: how many run at a time.

        Raises:
            ChildProcessError: a command failed; the others are ended.
        """
        found = self._run(cells, workers, keep_going=False)
        return [result for result in found if isinstance(result, dict)]

    def run_each(self, cells: Sequence[Cell], *, workers: int = 1) -> list[dict | Exception]:
        """Return the results as :meth:`run_all` does, and the error in the place of a failed one.

        Raises:
            OSError: the disk is full; what is finished is kept.
        """
        return self._run(cells, workers, keep_going=True)

    def _run(
        self, cells: Sequence[Cell], workers: int, *, keep_going: bool
    ) -> list[dict | Exception]:
        results: list[dict | Exception] = [{} for _ in cells]
        waiting = list(enumerate(cells))
        slots = list(range(workers))
        active: dict[int, tuple[int, Generator[None, None, dict]]] = {}
        self._workers = workers
        with ending_by_exception():
            try:
                while waiting or active:
                    while waiting and slots:
                        number, cell = waiting.pop(0)
                        slot = slots.pop(0)
                        active[number] = slot, self._steps(cell, slot)
                    for number, (slot, steps) in list(active.items()):
                        try:
                            next(steps)
                            continue
                        except StopIteration as end:
                            results[number] = end.value
                        except Exception as error:
                            self._check_disk()
                            if not keep_going:
                                raise
                            results[number] = error
                            print(f'{cells[number].name}: failed. {error}', flush=True)
                        del active[number]
                        slots.append(slot)
            finally:
                for _, steps in active.values():
                    steps.close()
        return results

    def _check_disk(self) -> None:
        free = shutil.disk_usage(
            next(p for p in (self.root, *self.root.parents) if p.exists())
        ).free
        if free < SMALLEST_FREE:
            raise OSError(
                f'{self.root}: expected free disk space, got {free / 2**20:.0f} MiB. Free some and '
                'start the same command again: what is finished is kept'
            )

    def _steps(self, cell: Cell, slot: int) -> Generator[None, None, dict]:
        """Run a cell; yields while its commands run and returns its result."""
        folder = self.root / cell.name
        outdated = self.force and cell.name not in self.repeated
        result = None if outdated else cell.finished_result(folder)
        if result is not None:
            self._reused_cost += cell.cost
            return result
        if self.keep_replaced and not self.force:
            result = self._exchange(cell, folder)
            if result is not None:
                self._reused_cost += cell.cost
                return result
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for module in self.preload if start_method() == 'fork' else ():
            import_module(module)  # forks inherit it, a new process imports its own
        start = time.perf_counter()
        progress = _Progress(self, cell, folder, start)
        environment = gpu_environment(slot) if self.gpus else {}
        for number, command in enumerate(cell.commands_in(folder)):
            for _ in watch_command(command, folder / f'command-{number}.log', environment):
                progress.tell()
                yield
        result = dict(**cell.collect(folder), commit=self.commit)
        seconds = time.perf_counter() - start
        cell.finish(folder, result, seconds)
        self.executed.append(cell.name)
        if self.force:
            self.repeated.add(cell.name)
            write_json(self.root / FORCED, sorted(self.repeated))
        self._busy_seconds += seconds
        self._done_cost += cell.cost
        print(f'{cell.name}: done in {seconds:.0f} s{self.remaining(0.0, 0.0)}', flush=True)
        return result

    def end(self) -> None:
        """Note that all cells have ended well: the next run with ``force`` repeats all of them."""
        (self.root / FORCED).unlink(missing_ok=True)

    def _exchange(self, cell: Cell, folder: Path) -> dict | None:
        """Put an outdated result away, and take out that of the cell if it was put away before."""
        changed = cell.what_changed(folder)
        if changed is not None:
            old = json.loads((folder / DONE).read_text())['fingerprint']
            away = replaced_folder(self.root, cell, old)
            print(
                f'{cell.name}: repeated, since {changed}. The earlier result is kept in {away}',
                flush=True,
            )
            shutil.rmtree(away, ignore_errors=True)
            away.parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder, away)
        before = replaced_folder(self.root, cell, cell.fingerprint)
        result = cell.finished_result(before)
        if result is not None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.replace(before, folder)
            print(f'{cell.name}: taken back from {before}', flush=True)
        return result

    def remaining(self, current_cost: float, current_seconds: float) -> str:
        """Return a text on the time left, by what the cells so far took for their cost."""
        done = self._done_cost + current_cost
        left = self.total_cost - self._reused_cost - done
        if done <= 0 or left <= 0:
            return ''
        seconds = left * (self._busy_seconds + current_seconds) / done / self._workers
        return f', about {seconds / 60:.1f} min left'


def _names_in(path: Path) -> set[str]:
    try:
        return set(map(str, json.loads(path.read_text(encoding='utf-8'))))
    except (OSError, ValueError, TypeError):
        return set()


def replaced_folder(root: Path, cell: Cell, fingerprint: str) -> Path:
    """Return where an outdated result of a cell is kept."""
    return root / 'replaced' / f'{cell.name}-{fingerprint[:8]}'


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


def gpu_environment(slot: int) -> dict[str, str]:
    """Return the variables that show a process one GPU, of those that this process sees."""
    seen = [name for name in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if name]
    return {'CUDA_VISIBLE_DEVICES': seen[slot] if slot < len(seen) else str(slot)}


def check_gpus(number: int) -> None:
    """Refuse more GPUs than this process sees: cells would share one, or run on the CPU unasked.

    Raises:
        ValueError: ``number`` is larger.
    """
    listed = os.environ.get('CUDA_VISIBLE_DEVICES')
    if listed is None:
        import torch  # the suites do without it

        seen = torch.cuda.device_count()
    else:
        seen = len([name for name in listed.split(',') if name])
    if number > seen:
        where = '' if listed is None else f' (CUDA_VISIBLE_DEVICES={listed})'
        raise ValueError(
            f'--gpus: expected at most {seen}, the GPUs that this process sees{where}, got '
            f'{number}. Use --workers to run several trainings at a time on what there is'
        )


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
