"""Commands in forked children: the seconds that importing PyTorch and MM takes are paid once.

A child is a process of its own in every respect that matters here: it can be killed at any moment,
run out of disk or memory, and take its loader workers with it or leave them behind.

The overhead of a tiny training is left out, also since most kills would hit it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from helpers.run_overhead import environment_of_machine, leave_out_overhead

from paco_seg import cli
from paco_seg.comparison.process import forget_runs
from paco_seg.engine.checkpoint import set_safe_loading

# What the commands would import, ahead of the forks.
for module in (
    'matplotlib.pyplot',
    'mmpretrain.engine',
    'mmseg.engine',
    'mpl_toolkits.mplot3d',
    'paco_seg.cli.compare',
    'paco_seg.cli.test',
    'paco_seg.cli.train',
    'paco_seg.cls',
    'paco_seg.comparison.user_comparison',
    'paco_seg.seg',
):
    import_module(module)

# Nothing here takes a minute on a machine that does little else; a hang is a loss.
PATIENCE = 300.0
RANKS = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


class Child:
    """``function(*arguments)`` in a fork, which leads a process group of its own.

    Args:
        function: what runs; SystemExit is its exit status.
        *arguments: of the function.
        log: file for standard output and error, appended to.
        environment: variables of the child.
        memory_mib: so much more address space than it starts with; more ends in MemoryError.
        file_bytes: no file may grow beyond; the kernel refuses the rest of a write.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        log: Path,
        environment: dict[str, str] | None = None,
        memory_mib: int | None = None,
        file_bytes: int | None = None,
    ) -> None:
        self.log = log
        sys.stdout.flush()
        sys.stderr.flush()
        limits = (memory_mib, file_bytes)
        environment_of_machine()  # ahead of the fork
        # A limit on files is one on the log too, but not on a pipe.
        ends = os.pipe() if file_bytes is not None else None
        self._process = multiprocessing.get_context('fork').Process(
            target=_work, args=(function, arguments, log, environment or {}, limits, ends)
        )
        self.began = time.monotonic()
        self._process.start()
        self._copier = None
        if ends is not None:
            os.close(ends[1])
            self._copier = threading.Thread(target=_copy, args=(ends[0], log), daemon=True)
            self._copier.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """Exit status, negative for a signal; None if it hangs, and is killed for it."""
        self._process.join(seconds)
        if self._process.is_alive():
            os.killpg(self.pid, signal.SIGKILL)
            self._process.join()
            return None
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL to the process alone: its workers have to notice."""
        if self._process.is_alive():
            os.kill(self.pid, signal.SIGKILL)
        self._process.join()

    def said(self) -> str:
        if self._copier is not None:  # what an ended child wrote may still be on its way
            self._copier.join(0 if self.running() else 20)
        return self.log.read_text(errors='replace') if self.log.exists() else ''

    def left_behind(self, seconds: float = 20.0) -> list[int]:
        """Processes of its group that still run after so long; they are ended."""
        until = time.monotonic() + seconds
        while (found := group(self.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return found


def group(leader: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[2]) == leader and fields[0] not in 'ZX':
            found.append(int(stat.parent.name))
    return found


def _copy(source: int, log: Path) -> None:
    with open(source, 'rb') as pipe, log.open('ab') as file:
        shutil.copyfileobj(pipe, file)


def _work(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    log: Path,
    environment: dict[str, str],
    limits: tuple[int | None, int | None],
    ends: tuple[int, int] | None,
) -> None:
    os.setpgid(0, 0)
    stream = open(log if ends is None else ends[1], 'a' if ends is None else 'w', buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    for name in RANKS:
        os.environ.pop(name, None)
    os.environ['LOCAL_RANK'] = '0'  # MMEngine sets it, for this process
    os.environ.update(environment)
    tempfile.tempdir = str(log.parent)  # where tracebacks go
    forget_runs()
    set_safe_loading()
    leave_out_overhead(pytest.MonkeyPatch())
    memory_mib, file_bytes = limits
    if memory_mib is not None:
        used = int(Path('/proc/self/statm').read_text().split()[0]) * os.sysconf('SC_PAGE_SIZE')
        resource.setrlimit(resource.RLIMIT_AS, (used + memory_mib * 2**20,) * 2)
    if file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes,) * 2)
    function(*arguments)


def command(
    *words: object, before: Callable[..., Any] | None = None, log: Path, **options: Any
) -> Child:
    """``paco-seg WORDS...``; ``before`` runs ahead of it in the child, to break something."""
    return Child(_command, [str(word) for word in words], before, log=log, **options)


def _command(words: list[str], before: Callable[..., Any] | None) -> None:
    if before is not None:
        before()
    cli.main(words)


def on_ranks(
    function: Callable[..., Any], arguments: Sequence[Sequence[Any]], log: Path
) -> list[Child]:
    """``function(*arguments[rank])`` on every rank of one gloo job."""
    port = str(free_port())
    return [
        Child(
            function,
            *own,
            log=log.with_name(f'{log.stem}_{rank}{log.suffix}'),
            environment=dict(
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(len(arguments)),
                MASTER_ADDR='127.0.0.1',
                MASTER_PORT=port,
            ),
        )
        for rank, own in enumerate(arguments)
    ]


def commands_on_ranks(
    *words: object, log: Path, before: Sequence[Callable[..., Any] | None] = (None, None)
) -> list[Child]:
    """The command as a launcher starts it, on as many ranks as ``before`` has entries."""
    texts = [str(word) for word in words] + ['--launcher', 'pytorch']
    return on_ranks(_command, [(texts, broken) for broken in before], log)
