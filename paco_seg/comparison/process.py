"""A command of a cell in a process of its own, which never outlives the one that waits for it.

It is a fork of this process where that is safe (:func:`allow_forks`), which saves the seconds of
importing PyTorch and MM per command, and else a new one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paco_seg.files import write_json

POLL_SECONDS = 0.2
END_SECONDS = 10.0  # for a process that was asked to end, before it is killed
LOG_LINES = 15
# SIGHUP is not everywhere.
ENDING = [getattr(signal, name) for name in ('SIGTERM', 'SIGHUP') if hasattr(signal, name)]
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_starting = threading.Lock()
# Threads of PyTorch in a command, where this process keeps to one and may be forked.
_threads_of_commands: int | None = None


def allow_forks() -> None:
    """Let commands be forks of this process, which computes with one thread from now on.

    For a program that has computed nothing so far: a fork has only one of the threads with which
    PyTorch may have computed, and waits for the others for good.
    """
    global _threads_of_commands
    if _threads_of_commands is None:
        import torch

        _threads_of_commands = torch.get_num_threads()
        torch.set_num_threads(1)


def run_command(command: Sequence[str], log: Path) -> None:
    """Run ``python -m COMMAND...`` to its end as :func:`watch_command` does."""
    with ending_by_exception():
        for _ in watch_command(command, log):
            pass


def watch_command(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run ``python -m COMMAND...``, with its output in a file, and yield while it runs.

    The peak memory of the process, that of the GPU if it used one, goes to a JSON file beside
    the log. However the iteration ends, by an error or by being closed, the process and its own
    children have ended too; on Linux also when this process is killed. To hold at SIGTERM it wants
    :func:`ending_by_exception` around it.

    Args:
        command: module and its arguments.
        log: file for the output.
        environment: variables of the process beside those of this one.

    Yields:
        Nothing, several times per second.

    Raises:
        ChildProcessError: the command failed; names it and shows the last lines of its log.
    """
    context: Any = multiprocessing.get_context(start_method())
    sys.stdout.flush()
    sys.stderr.flush()
    process = context.Process(
        target=_run_module,
        args=(tuple(command), str(log), os.getpid(), os.getcwd(), dict(environment or {})),
    )
    try:
        with _same_modules():
            process.start()
        while process.is_alive():
            process.join(POLL_SECONDS)
            yield
    finally:
        _end(process)
    if process.exitcode != 0:
        tail = '\n'.join(last_lines(log))
        raise ChildProcessError(
            f'{" ".join(command)}: expected exit status 0, got {process.exitcode}. The end of '
            f'{log}:\n{tail}{_where_it_was_cut(log)}'
        )


def start_method() -> str:
    """Return how processes start: forked where that is allowed, unless there may be an NVIDIA GPU.

    A process whose parent has asked for the GPUs, as the import of MMEngine does, cannot use one.
    Other systems than Linux do not survive a fork of a process that has loaded their libraries.
    """
    forks = _threads_of_commands is not None and sys.platform == 'linux'
    return 'fork' if forks and not Path('/dev/nvidiactl').exists() else 'spawn'


@contextlib.contextmanager
def _same_modules() -> Iterator[None]:
    """Let a new process find the modules of this one, without importing its program.

    A script that does not ask ``if __name__ == '__main__'`` would start itself again. An empty
    entry of ``sys.path`` means the current folder; a new process would take that of the start.
    """
    with _starting:
        main, path = sys.modules['__main__'], sys.path[:]
        sys.modules['__main__'] = types.ModuleType('__main__')
        sys.path[:] = [os.path.abspath(entry) for entry in path if isinstance(entry, str)]
        try:
            yield
        finally:
            sys.modules['__main__'] = main
            sys.path[:] = path


@contextlib.contextmanager
def ending_by_exception() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that ``finally`` is reached.

    Only the main thread may do so; elsewhere the signals stay as they are. So does one that is
    ignored: ``nohup`` wants it.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = _heeded() if in_main_thread else []

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)  # as a shell reports it

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    """List the signals that end this process: those of :data:`ENDING` that are not ignored."""
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def _end(process: Any) -> None:
    """End a process with the group that it leads, and wait for it."""
    if process.pid is None:  # it could not be started
        return
    if not process.is_alive():
        process.join()
        return
    for name in ('SIGTERM', 'SIGKILL'):
        _send(process, name)
        process.join(END_SECONDS)
        if not process.is_alive():
            return


def _send(process: Any, name: str) -> None:
    try:
        # Its loader workers are in the same group. Before it has made its group there are none.
        os.killpg(process.pid, getattr(signal, name))
    except (AttributeError, ProcessLookupError, PermissionError):
        process.terminate() if name == 'SIGTERM' else process.kill()


def _run_module(
    command: tuple[str, ...], log: str, parent: int, folder: str, environment: dict[str, str]
) -> None:
    """Run ``command[0]`` as a program in this process, with its output in a file."""
    _end_with(parent)
    os.chdir(folder)  # a new process starts where its parent did
    os.environ.update(environment)  # ahead of the first question for a GPU
    # Left open: the traceback of an error is written when this function has ended.
    stream = open(log, 'w', buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    print('python -m', *command, flush=True)
    forget_runs()  # a fork inherits them, and would write into the folder of another run
    if _threads_of_commands is not None:  # a fork
        import torch

        torch.set_num_threads(_threads_of_commands)
    sys.argv = list(command)
    try:
        runpy.run_module(command[0], run_name='__main__', alter_sys=True)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    stream.flush()
    write_json(
        Path(log).with_suffix('.json'),
        dict(peak_memory_mib=peak_gpu_memory_mib() or peak_memory_mib()),
    )


def _end_with(parent: int) -> None:
    """Lead a process group of its own, and on Linux end when the parent does."""
    for number in _heeded():
        signal.signal(number, signal.SIG_DFL)  # a fork inherits the handlers
    if hasattr(os, 'setpgid'):
        os.setpgid(0, 0)
    if sys.platform == 'linux':
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)


def forget_runs() -> None:
    """Clear MMEngine's process-wide loggers, visualizers and scopes, which later runs inherit."""
    if 'mmengine' not in sys.modules:
        return  # there are none, and the import takes seconds
    from mmengine.logging import MessageHub
    from mmengine.registry import DefaultScope

    forget_logs()
    _forget(MessageHub, DefaultScope)


def forget_logs() -> None:
    """Clear MMEngine's process-wide loggers and visualizers.

    Their names are times: runs that start in one second would share them, and their folder.
    """
    if 'mmengine' not in sys.modules:
        return
    from mmengine.logging import MMLogger
    from mmengine.visualization import Visualizer

    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    _forget(MMLogger, Visualizer)


def _forget(*kinds: type) -> None:
    managers: list[Any] = list(kinds)
    for manager in managers:
        managers.extend(manager.__subclasses__())
        manager._instance_dict.clear()


def last_lines(log: Path) -> list[str]:
    """Return the end of a log; nothing if there is none."""
    try:
        return log.read_text(errors='replace').splitlines()[-LOG_LINES:]
    except OSError:
        return []


def _where_it_was_cut(log: Path) -> str:
    """Say so if a log met the limit of the system: the reason of a failure is then not in it."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit == resource.RLIM_INFINITY or log.stat().st_size < limit:
            return ''
    except (ImportError, OSError):  # Windows; no log
        return ''
    return f'\nThe log was cut here: File too large (ulimit -f), expected more than {limit} bytes'


def peak_memory_mib() -> float | None:
    """Return the largest resident memory of this process so far; None where nobody tells."""
    try:
        # Not ru_maxrss, which a new process takes over from its parent.
        _, _, found = Path('/proc/self/status').read_text().partition('VmHWM:')
        if found:
            return int(found.split()[0]) / 2**10
    except OSError:  # not Linux
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # bytes on macOS, KiB elsewhere
    return peak / 2**20 if sys.platform == 'darwin' else peak / 2**10


def peak_gpu_memory_mib() -> float | None:
    """Return the most memory that tensors of this process took on its GPU; None without one."""
    torch = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_allocated() / 2**20
