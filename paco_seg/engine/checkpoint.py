"""Reading checkpoints without running code from them.

A PyTorch checkpoint is a pickle, and a pickle can name any function to be called while it is read.
PyTorch's ``weights_only`` reader calls nothing but what is on a list. MMEngine extends that list
by ``getattr``, with which a file reaches and overwrites anything, and on failure reads the file
again without the restriction. Then it runs a text of the file: the config of its training, as
Python. :func:`set_safe_loading` closes all three.
"""

from __future__ import annotations

import ast
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from paco_seg.engine.stages import first_line

FORCE_SAFE, FORCE_UNSAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
# A file that claims more is not taken at its word.
MOST_PROCESSES = 100_000

_mmengine_load = CheckpointLoader.load_checkpoint.__func__


class UnsafeCheckpointError(ValueError):
    """A checkpoint needs code to be read; the message names the code, the file and the remedy."""


def _statistics_method(owner: Any, name: str) -> Callable:
    """Stands for ``getattr`` in a checkpoint: HistoryBuffer's pickle names its own methods.

    Raises:
        UnpicklingError: the file asks for any other attribute.
    """
    if owner is not HistoryBuffer or name not in HistoryBuffer._statistics_methods:
        raise UnpicklingError(f'GLOBAL {getattr(owner, "__qualname__", owner)}.{name}')
    return HistoryBuffer._statistics_methods[name]


def safe_globals() -> list[Any]:
    """What an MMEngine checkpoint holds besides tensors: loss histories in NumPy arrays.

    Returns:
        Entries for ``torch.serialization.add_safe_globals``. Both spellings of NumPy's modules
        are there, since files written with NumPy 1 are read with NumPy 2.
    """
    HistoryBuffer()  # fills the table of statistics methods
    # The two functions that NumPy names in its own pickles, of arrays and of scalars.
    functions = [
        (value.__reduce__()[0], f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for name, value in (('_reconstruct', np.empty(0)), ('scalar', np.float64(0)))
    ]
    dtypes = {type(np.dtype(code)) for code in '?bBhHiIlLqQefdSU'}
    return [
        *functions,
        np.ndarray,
        np.dtype,
        *dtypes,
        HistoryBuffer,
        (_statistics_method, 'builtins.getattr'),
    ]


def set_safe_loading(allow_pickle: bool = False) -> None:
    """Decides for this process whether checkpoints may run code while they are read.

    It holds for every ``torch.load``, MMEngine's included: local files, downloads, pretrained
    backbones.

    Args:
        allow_pickle: trust the files. Anything a pickle can do will be done.
    """
    os.environ.pop(FORCE_SAFE if allow_pickle else FORCE_UNSAFE, None)
    # Variables of PyTorch, read at each load; the first overrides what a caller asks for.
    os.environ[FORCE_UNSAFE if allow_pickle else FORCE_SAFE] = '1'
    torch.serialization.add_safe_globals(safe_globals())
    # MMEngine opens its own list around each load, and `getattr` there would replace ours.
    mmengine_checkpoint.get_torch_safe_globals = safe_globals
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    # Around every scheme: a download must be as harmless as a file.
    CheckpointLoader.load_checkpoint = classmethod(_load_checkpoint)


def allows_pickle() -> bool:
    """Whether the user said that checkpoints of this process may run code."""
    return os.environ.get(FORCE_UNSAFE) == '1'


def _load_checkpoint(
    cls: type[CheckpointLoader], filename: str, map_location: Any = None, logger: Any = 'current'
) -> Any:
    return as_data(_mmengine_load(cls, filename, map_location, logger), filename)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Reads a checkpoint file as :func:`set_safe_loading` allows (MMEngine's loader for paths).

    Args:
        filename: path of the file.
        map_location: of ``torch.load``.

    Returns:
        The content, for an MMEngine checkpoint a dict with ``state_dict`` and ``meta``.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafeCheckpointError: it needs code that is not on the list.
        ValueError: it is not a checkpoint, or damaged.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint: expected an existing file, got {filename}')
    with path.open('rb') as file:
        start = file.read(2)
    # By its end too: what is damaged may be the very mark at the start.
    if start == b'PK' or zipfile.is_zipfile(path):
        _check_records(path, filename)
    try:
        content = torch.load(path, map_location=map_location, weights_only=not allows_pickle())
    except UnpicklingError as error:
        # A zip archive or a bare pickle; a web page saved by mistake is neither.
        if start[:1] not in (b'P', b'\x80'):
            raise _damaged(filename, error) from None
        found = re.search(r'GLOBAL (\S+)', str(error))
        raise UnsafeCheckpointError(
            f'{filename}: expected tensors and plain values, got a pickle that needs '
            f'{found.group(1) if found else "more"}. If you trust its author, pass '
            '--allow-pickle: reading it then runs whatever code it contains'
        ) from None
    # Bytes of another kind of file lead PyTorch's readers anywhere: KeyError, struct.error, ...
    except Exception as error:
        raise _damaged(filename, error) from None
    return as_data(content, filename)


def as_data(content: Any, source: str) -> Any:
    """Reduce the content of a checkpoint to what can be used without trusting its author.

    With ``--allow-pickle`` it stays as it is.

    Args:
        content: what PyTorch read; changed in place.
        source: the file, for errors.

    Returns:
        ``content``, whose ``meta.config`` runs nothing.

    Raises:
        ValueError: it has not the form of a checkpoint.
    """
    if allows_pickle():
        return content
    if not isinstance(content, Mapping):
        raise ValueError(
            f'{source}: expected a checkpoint, a dict with state_dict, got '
            f'{type(content).__name__}. Take the file that a training saved'
        )
    for key in ('state_dict', 'meta', 'message_hub'):
        if key in content and not isinstance(content[key], Mapping):
            raise ValueError(
                f'{source}: {key}: expected a dict, got {type(content[key]).__name__}. Take the '
                'file that a training saved'
            )
    for name, value in content.get('state_dict', {}).items():
        # Modules may store anything under this name of PyTorch's.
        if not isinstance(name, str) or not (
            isinstance(value, torch.Tensor) or name.endswith('_extra_state')
        ):
            raise ValueError(
                f'{source}: state_dict: expected tensors by name, got {type(value).__name__} at '
                f'{name!r}. Take the file that a training saved'
            )
    if 'config' in content.get('meta', {}):
        _keep_gpu_ids_only(content['meta'], source)
    return content


def _keep_gpu_ids_only(meta: Any, source: str) -> None:
    """Replace the config text that MMEngine runs as Python when it resumes by what it reads of it.

    That is the number of ``gpu_ids``, to compare with the number of processes. Older MM versions
    wrote the key; MMEngine itself writes ``cfg``, which nothing runs.
    """
    number = 0
    try:
        for node in ast.parse(meta.pop('config')).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'gpu_ids':
                value = node.value
                if isinstance(value, ast.Call) and ast.unparse(value.func) == 'range':
                    number = len(range(*(ast.literal_eval(item) for item in value.args)))
                else:
                    number = len(ast.literal_eval(value))
    # Whatever the text is: a training can do without it.
    except Exception as error:
        print_log(f'{source}: meta.config is left out ({type(error).__name__})', 'current')
    if 0 < number <= MOST_PROCESSES:
        meta['config'] = f'gpu_ids = {list(range(number))}'


def _check_records(path: Path, filename: str) -> None:
    """Compare every record of a checkpoint with the checksum beside it.

    ``torch.save`` writes a zip archive with the CRC-32 of each record, pickle included, and
    ``torch.load`` ignores it.

    Raises:
        ValueError: a record differs, or the archive cannot be read, or only by unpacking it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held, size = sum(record.file_size for record in archive.infolist()), path.stat().st_size
            if held > size:  # unpacked, it could be a thousand times as large
                raise ValueError(
                    f'records of {held} bytes in a file of {size}, where torch.save compresses none'
                )
            # torch.serialization.set_crc32_options(False) leaves them out.
            computed = any(record.CRC for record in archive.infolist())
            wrong = archive.testzip() if computed else None
    # A damaged header sends `zipfile` into decompression, decryption or over the end.
    except Exception as error:
        raise _damaged(filename, error) from None
    if wrong is not None:
        raise _damaged(filename, ValueError(f'wrong checksum of {wrong}'))


def _damaged(filename: str, error: Exception) -> ValueError:
    reason = first_line(error)
    if not isinstance(error, (RuntimeError, ValueError, EOFError, UnpicklingError)):
        reason = f'{type(error).__name__}: {reason}'
    return ValueError(
        f'{filename}: expected a PyTorch checkpoint, got a file that cannot be read ({reason}). '
        'It may be incomplete: take an earlier checkpoint, or download it again'
    )
