"""One function over many small tasks, in several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mmengine.utils import ProgressBar


def check_jobs(jobs: int | None, key: str = '--jobs') -> int:
    """Return the number of processes; None stands for one per CPU core.

    Raises:
        ValueError: there are fewer than one.
    """
    if jobs is None:
        # A cluster gives a job few of the cores of a machine.
        usable = getattr(os, 'sched_getaffinity', None)
        return len(usable(0)) if usable else os.cpu_count() or 1
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

    Raises:
        ChildProcessError: a process was ended from outside, mostly for want of memory.
    """
    if not tasks:
        return
    # In a redirected log the bar would be thousands of control characters.
    progress = ProgressBar(len(tasks), file=sys.stderr) if sys.stderr.isatty() else None
    number = min(jobs, len(tasks))
    # Not multiprocessing.Pool, which waits for ever for the result of a process that was killed.
    pool = ProcessPoolExecutor(number, initializer=_share, initargs=(function, shared))
    try:
        for result in pool.map(_call, tasks, chunksize=chunksize):
            yield result
            if progress:
                progress.update()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f'--jobs: expected {number} processes that run to their end, got one that the system '
            'ended, mostly for want of memory. Give a smaller number'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    if progress:
        sys.stderr.write('\n')


_shared: tuple[Callable, Any]


def _share(function: Callable, shared: Any) -> None:
    global _shared
    _shared = function, shared


def _call(task: Any) -> Any:
    function, shared = _shared
    return function(shared, task)
