"""Writing files so that each is complete or absent, and nothing old goes before the new is whole.

Standard library only: every layer of the package writes through here.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def is_being_written(path: Path) -> bool:
    """Whether another process of this machine still writes a file of :func:`written_aside`."""
    number = re.search(r'\.(\d+)\.part(\.\w+)?$', path.name)
    # Windows has no signal that only asks.
    if number is None or int(number[1]) == os.getpid() or os.name == 'nt':
        return False
    try:
        os.kill(int(number[1]), 0)  # asks, and sends nothing
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to, and rename it to ``path`` once the block has ended well.

    The file is written beside the target under a name of its own with the same suffix, since
    writers choose the format by it. If the block raises, or the disk is full, the target stays as
    it was and the unfinished file is removed.

    Args:
        path: the file to write or to replace; missing folders are created.

    Yields:
        Path of a file that does not exist yet, in the folder of the target.

    Raises:
        IsADirectoryError: ``path`` is a folder.
        FileExistsError: ``path`` is a device or a pipe, which a file would take the place of.
        OSError: the folder cannot be created or written to.

    Example:
        >>> with written_aside('results.json') as unfinished:
        ...     _ = unfinished.write_text('{}')
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f'{target}: expected a file to write, got an existing folder')
    if _is_special(target):
        raise FileExistsError(f'{target}: expected a file to write, got a device or a pipe')
    if target.is_symlink():  # the file that it names is replaced, not the link
        target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    ending = f'.{os.getpid()}.part{target.suffix}'
    # A file system allows 255 bytes, and the name of the target may have all of them.
    stem = os.fsencode(target.stem)[: 254 - len(os.fsencode(ending))]
    unfinished = target.with_name(f'.{stem.decode(errors="ignore")}{ending}')
    try:
        yield unfinished
        # The name must not reach the disk before the content does.
        # Windows flushes what is open for writing only.
        with unfinished.open('r+b') as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write or replace a text file as :func:`written_aside` does."""
    with written_aside(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')


def write_json(path: str | os.PathLike[str], content: Any, *, indent: int | None = 1) -> None:
    """Write or replace a JSON file as :func:`written_aside` does, with a final line end."""
    write_text(path, json.dumps(content, indent=indent) + '\n')


def check_output(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    suffixes: Iterable[str] = (),
    key: str = '--out',
) -> None:
    """Refuse an output that would destroy an input, is no file, or has a foreign suffix.

    Call it before the work starts.

    Args:
        path: the file that will be written.
        inputs: files that it must not be, under any spelling or through any link.
        suffixes: endings of which it must have one; none = any.
        key: argument to name in the message.

    Raises:
        ValueError: names the argument, the value and the remedy.
    """
    target = Path(path)
    if target.is_dir():
        raise ValueError(f'{key}: expected a file, got the folder {str(path)!r}. Add a file name')
    if _is_special(target):
        raise ValueError(
            f'{key}: expected a file, got {str(path)!r}, a device or a pipe. Give another name'
        )
    wanted = tuple(suffixes)
    if wanted and target.suffix not in wanted:
        raise ValueError(
            f'{key}: expected a name that ends in {" or ".join(wanted)}, got {str(path)!r}'
        )
    for source in inputs:
        if target.resolve() == Path(source).resolve() or (
            target.exists() and Path(source).exists() and target.samefile(source)
        ):
            raise ValueError(
                f'{key}: expected another file than the input, got {str(path)!r}, which would be '
                'overwritten. Choose another name'
            )
    folder = next(folder for folder in target.parents if folder.exists())
    _check_writable(folder, key, named=folder)


def check_folder(path: str | os.PathLike[str], *, key: str = '--out') -> None:
    """Refuse a folder that cannot be created or written to.

    Call it before the work starts; nothing is created.

    Args:
        path: the folder that will be filled.
        key: argument to name in the message.

    Raises:
        ValueError: names the argument, the value and the remedy.
    """
    target = Path(path)
    existing = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise ValueError(
            f'{key}: expected a folder, got {str(path)!r}, where {str(existing)!r} is a file. '
            'Choose another folder'
        )
    _check_writable(existing, key, named=path)


def _check_writable(folder: Path, key: str, *, named: str | os.PathLike[str]) -> None:
    try:
        # Rights are not enough: root has them on a read-only file system too.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f'{key}: expected a folder that can be written to, got {str(named)!r} '
            f'({error.strerror}). Check the path, its rights and the free space'
        ) from None
