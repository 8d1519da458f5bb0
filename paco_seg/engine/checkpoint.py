"""Reading checkpoints without running code from them.

A PyTorch checkpoint is a pickle, and a pickle can name any function to be called while it is read.
PyTorch's ``weights_only`` reader calls nothing but what is on a list. MMEngine extends that list
by ``getattr``, with which a file reaches and overwrites anything, and on failure reads the file
again without the restriction. :func:`set_safe_loading` closes both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

FORCE_SAFE, FORCE_UNSAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


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
    try:
        return torch.load(
            path, map_location=map_location, weights_only=os.environ.get(FORCE_UNSAFE) != '1'
        )
    except UnpicklingError as error:
        with path.open('rb') as file:
            # A zip archive or a bare pickle; a web page saved by mistake is neither.
            if file.read(1) not in (b'P', b'\x80'):
                raise _damaged(filename, error) from None
        found = re.search(r'GLOBAL (\S+)', str(error))
        raise UnsafeCheckpointError(
            f'{filename}: expected tensors and plain values, got a pickle that needs '
            f'{found.group(1) if found else "more"}. If you trust its author, pass '
            '--allow-pickle: reading it then runs whatever code it contains'
        ) from None
    except (RuntimeError, EOFError) as error:
        raise _damaged(filename, error) from None


def _damaged(filename: str, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(
        f'{filename}: expected a PyTorch checkpoint, got a file that cannot be read ({reason}). '
        'It may be incomplete: take an earlier checkpoint, or download it again'
    )
