"""The original files of CIFAR, which are pickles, read as data."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paco_seg.engine.stages import first_line

# What arrays are pickled with, by the NumPy of the original files and by later ones.
_ARRAY_PARTS = {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    ('_codecs', 'encode'),
    *(
        (f'numpy.{core}.{module}', name)
        for core in ('core', '_core')
        for module, name in (('multiarray', '_reconstruct'), ('numeric', '_frombuffer'))
    ),
}


def read_cifar_file(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return the content of a file of CIFAR; nothing in it is executed.

    Args:
        path: of the file.
        keys: that it has to have.

    Raises:
        ValueError: it holds something else than arrays and plain values, has not these keys, or
            names a file or class that does not stay in its folder.
    """
    expected = f'{path}: expected arrays and plain values with the keys {", ".join(keys)}'
    try:
        with path.open('rb') as file:
            content = _DataUnpickler(file, encoding='latin1').load()
        missing = [key for key in keys if key not in content]
    # A damaged pickle raises almost anything.
    except Exception as error:
        raise ValueError(
            f'{expected}, got a file that cannot be read as such ({first_line(error)}). '
            'Take it from the original archive'
        ) from error
    if missing:
        raise ValueError(f'{expected}, got none of {missing[0]!r}. Choose the folder again')
    for key in ('fine_label_names', 'filenames'):
        for name in content.get(key, ()):
            if not isinstance(name, str) or not _stays(name):
                raise ValueError(
                    f'{path}: {key}: expected names without a folder, got {name!r}. Take the file '
                    'from the original archive'
                )
    return content


def _stays(name: str) -> bool:
    """Whether a file of this name is in the folder that it is put into."""
    return name not in ('', '.', '..') and not set(name) & {'/', '\\', '\0'}


class _DataUnpickler(pickle.Unpickler):
    """Knows arrays and plain values alone."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_PARTS:
            raise pickle.UnpicklingError(f'it wants {module}.{name}')
        return super().find_class(module, name)
