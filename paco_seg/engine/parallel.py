"""One function over many small tasks, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.utils import ProgressBar


def check_jobs(jobs: int | None, key: str = '--jobs') -> int:
    """Return the number of processes; None stands for one per CPU core.

    Raises:
        ValueError: there are fewer than one.
    """
    if jobs is None:
        return os.cpu_count() or 1
    if jobs < 1:
        raise ValueError(
            f'{key}: expected at least 1 process, got {jobs}. Leave it out for one per CPU core'
        )
    return jobs


def map_in_parallel(
    function: Callable[[Any, Any], Any],
    shared: Any,
    tasks: Sequence[Any],
    jobs: int,
    chunksize: int = 1,
) -> Iterator[Any]:
    """Yield ``function(shared, task)`` for each task, in order, with a progress bar on a terminal.

    Args:
        function: a module-level function.
        shared: handed to each process once, not with every task, such as datasets.
        tasks: small descriptions of what to look at.
        jobs: number of processes.
        chunksize: tasks per hand-over.
    """
    if not tasks:
        return
    # In a redirected log the bar would be thousands of control characters.
    progress = ProgressBar(len(tasks), file=sys.stderr) if sys.stderr.isatty() else None
    with multiprocessing.Pool(min(jobs, len(tasks)), _share, (function, shared)) as pool:
        for result in pool.imap(_call, tasks, chunksize):
            yield result
            if progress:
                progress.update()
    if progress:
        sys.stderr.write('\n')


_shared: tuple[Callable, Any]


def _share(function: Callable, shared: Any) -> None:
    global _shared
    _shared = function, shared


def _call(task: Any) -> Any:
    function, shared = _shared
    return function(shared, task)
