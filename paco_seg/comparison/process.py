"""A command of a cell in a process of its own, which never outlives the one that waits for it.

On Linux the process may be forked from a server that has imported PyTorch and MM and has computed
nothing, which saves seconds per command. It is never a fork of this process: PyTorch may have
computed here with several threads, a fork has only one of them, and waits for the others for good.
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


def run_command(command: Sequence[str], log: Path) -> None:
    """Run ``python -m COMMAND...`` to its end as :func:`watch_command` does."""
    with ending_by_exception():
        for _ in watch_command(command, log):
            pass


def watch_command(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    preload: Sequence[str] = (),
) -> Iterator[None]:
    """Run ``python -m COMMAND...``, with its output in a file, and yield while it runs.

    The peak memory of the process, that of the GPU if it used one, goes to a JSON file beside
    the log. However the iteration ends, by an error or by being closed, the process and its own
    children have ended too, and they end when this process is killed. To hold at SIGTERM it wants
    :func:`ending_by_exception` around it.

    Args:
        command: module and its arguments.
        log: file for the output.
        environment: variables of the process beside those of this one.
        preload: modules that the server imports before it starts its first process; without any
            the process starts on its own.

    Yields:
        Nothing, several times per second.

    Raises:
        ChildProcessError: the command failed; names it and shows the last lines of its log.
    """
    context: Any = multiprocessing.get_context(start_method() if preload else 'spawn')
    if context.get_start_method() == 'forkserver':
        context.set_forkserver_preload(list(preload))
    process = context.Process(
        target=_run_module,
        # The server keeps the folder and the variables with which it was started.
        args=(tuple(command), str(log), os.getcwd(), {**os.environ, **(environment or {})}),
    )
    with _same_modules():
        process.start()
    try:
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
    """Return how processes start: forked from a server, unless there may be an NVIDIA GPU.

    A process whose parent has asked for the GPUs, as the import of MMEngine does, cannot use one.
    Other systems than Linux do not survive a fork of a process that has loaded their libraries,
    and the server of Python 3.10 finds other modules than this process (PYTHONSAFEPATH is newer).
    """
    forks = sys.platform == 'linux' and sys.version_info >= (3, 11)
    return 'forkserver' if forks and not Path('/dev/nvidiactl').exists() else 'spawn'


@contextlib.contextmanager
def _same_modules() -> Iterator[None]:
    """Let a process or server that starts find the modules of this one, but for its program.

    The program is not needed, and a script that does not ask ``if __name__ == '__main__'`` would
    start itself again. A server would look for modules in its current folder first.
    """
    main = sys.modules['__main__']
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    variables = dict(PYTHONPATH=paths, PYTHONSAFEPATH='1')
    before = {name: os.environ.get(name) for name in variables}
    sys.modules['__main__'] = types.ModuleType('__main__')
    os.environ.update(variables)
    try:
        yield
    finally:
        sys.modules['__main__'] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def ending_by_exception() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that ``finally`` is reached.

    Only the main thread may do so; elsewhere the signals stay as they are. So does one that is
    ignored: ``nohup`` wants it.
    """
    numbers = [getattr(signal, name) for name in ('SIGTERM', 'SIGHUP') if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)  # as a shell reports it

    before = {
        number: signal.signal(number, end)
        for number in numbers
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: Any) -> None:
    """End a process with the group that it leads, and wait for it."""
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
    command: tuple[str, ...], log: str, folder: str, environment: dict[str, str]
) -> None:
    """Run ``command[0]`` as a program in this process, with its output in a file."""
    _end_with_parent()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)  # ahead of the first question for a GPU
    # Left open: the traceback of an error is written when this function has ended.
    stream = open(log, 'w', buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    print('python -m', *command, flush=True)
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


def _end_with_parent() -> None:
    """Lead a process group of its own, which ends when the parent does, however it ends."""
    if hasattr(os, 'setpgid'):
        os.setpgid(0, 0)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    if hasattr(os, 'killpg'):
        os.killpg(0, signal.SIGKILL)  # with the loader workers
    os._exit(1)  # Windows


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
