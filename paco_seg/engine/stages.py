"""What a program was doing when something went wrong, and the two lines a user reads then.

A command opens a :func:`stage` around each of its parts. An exception that passes through one
remembers its name; the command line turns an expected kind of failure into the stage, the reason
and the place of the traceback. Code that calls a command as a function sees the exception itself.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.logging import MMLogger

# Failures that a setting, a file or the machine explains. Others are faults of a program, whose
# traceback is the message.
EXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what to do next as its message."""


@contextmanager
def stage(
    name: str | Callable[[Exception], str], *, expected: bool | Callable[[], bool] = True
) -> Iterator[None]:
    """Name what is being done, for an exception that leaves the block.

    Args:
        name: such as ``'while reading CONFIG'``; or a function of the exception.
        expected: whether a failure here is explained by its reason alone, or a function that
            decides. In the steps of a training it is not: the traceback stays.

    Example:
        >>> try:
        ...     with stage('while reading config.py'):
        ...         raise ValueError('no such key')
        ... except ValueError as error:
        ...     print(stages_of(error)[0][0])
        while reading config.py
    """
    try:
        yield
    except Exception as error:
        text = name(error) if callable(name) else name
        # The innermost name is the most exact one: it comes first.
        passed = (text, expected() if callable(expected) else expected)
        error.stages = [*stages_of(error), passed]  # type: ignore[attr-defined]
        raise


def stages_of(error: BaseException) -> list[tuple[str, bool]]:
    """Names of the stages that an exception has passed, innermost first, and ``expected``."""
    return getattr(error, 'stages', [])


def is_expected(error: BaseException) -> bool:
    """Tell whether the reason of a failure is enough, without its traceback."""
    if not isinstance(error, EXPECTED):
        return False
    return raised_here(error) or all(expected for _, expected in stages_of(error)[:1])


def raised_here(error: BaseException) -> bool:
    """Tell whether this package raised an exception itself, with a message for the user."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames or not isinstance(error, (ValueError, OSError, ImportError)):
        return False
    return str(frames[-1][0].f_globals.get('__name__', '')).split('.')[0] == 'paco_seg'


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def reason(error: BaseException) -> str:
    """Return one line about an exception; all lines of one that this package raised."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if raised_here(error):
        return text
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith('Caught ') and 'Original Traceback' in text:
        return lines[-1]  # of a worker of the loader, which sends its whole traceback as text
    return f'{type(error).__name__}: {lines[0][:400]}'


def describe(error: BaseException) -> str:
    """Return ``[rank N: ]stage: reason`` of a failure."""
    names = [name for name, _ in stages_of(error)]
    parts = [*names[:1], reason(error)]
    if os.environ.get('WORLD_SIZE', '1') != '1':
        parts.insert(0, f'rank {os.environ.get("RANK", "?")}')
    return ': '.join(parts)


def write_traceback(error: BaseException) -> str:
    """Write the traceback of a failure to the log of the run, or to a file of its own.

    Returns:
        The file; empty if none could be written.
    """
    text = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    if MMLogger._instance_dict:  # else a logger would be created, which prints to the terminal
        for handler in MMLogger.get_current_instance().handlers:
            if isinstance(handler, logging.FileHandler):
                record = logging.LogRecord('mmengine', logging.ERROR, '', 0, text, None, None)
                handler.handle(record)
                return handler.baseFilename
    try:
        handle, name = tempfile.mkstemp(prefix='paco-seg-', suffix='.log', text=True)
        with open(handle, 'w', encoding='utf-8') as file:
            file.write(text)
    except OSError:
        return ''
    return name


def report(error: BaseException, *, program: str, show_traceback: bool = False) -> int:
    """Print a failure to the standard error.

    Args:
        error: what went wrong.
        program: name to start the line with.
        show_traceback: print the traceback as well, whatever the kind.

    Returns:
        The exit status: 2 if the reason is enough, 1 if the traceback is needed.
    """
    expected = is_expected(error)
    if show_traceback or not expected:
        traceback.print_exception(type(error), error, error.__traceback__)
    print(f'{program}: {describe(error)}', file=sys.stderr)
    if expected and not show_traceback:
        path = write_traceback(error)
        place = f'{path}, or add' if path else 'add'
        print(f'Traceback: {place} --traceback', file=sys.stderr)
    return 2 if expected else 1


def failing_part(error: BaseException, config: Any, key: str) -> str:
    """Return the config key of the innermost part that was being built.

    MMEngine's registry builds part after part, each in a frame of the traceback that holds the
    settings of its part.

    Args:
        error: raised while ``config`` was being built.
        config: settings, with parts in dicts and lists.
        key: where ``config`` stands, such as ``'model'``.
    """
    found = key
    for frame, _ in traceback.walk_tb(error.__traceback__):
        part = _part_being_built(frame)
        if part is not None:
            found = _find(config, key, part) or found
    return found


def _part_being_built(frame: FrameType) -> Any:
    code = frame.f_code
    if code.co_name == 'build_from_cfg' and Path(code.co_filename).name == 'build_functions.py':
        return frame.f_locals.get('cfg')
    return None


def _find(config: Any, key: str, part: Any) -> str | None:
    parts = list(_parts(config, key))
    for same in (
        lambda value: value is part,
        lambda value: value == part,
        # A constructor may add to the settings of its parts before it builds them.
        lambda value: isinstance(part, dict) and value.get('type') == part.get('type'),
    ):
        matches = [path for path, value in parts if same(value)]
        if matches:
            return matches[-1]
    return None


def _parts(config: Any, key: str) -> Iterator[tuple[str, dict]]:
    if isinstance(config, dict):
        yield key, config
        for name, value in config.items():
            yield from _parts(value, f'{key}.{name}')
    elif isinstance(config, (list, tuple)):
        for number, value in enumerate(config):
            yield from _parts(value, f'{key}[{number}]')
