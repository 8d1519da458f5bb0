"""A config file, read so that a module which it cannot import is named with the remedy."""

from __future__ import annotations

import os

from mmengine.config import Config

from paco_seg import compat
from paco_seg.engine.preflight import check_imports


def parse_config(path: str | os.PathLike[str]) -> Config:
    """Parse a config file as MMEngine does, and import what its ``custom_imports`` names.

    Args:
        path: the file.

    Raises:
        compat.MMStackError: it needs MMDetection, which cannot be used.
        ValueError: another module cannot be imported (names it, the cause and the remedy).
    """
    try:
        return Config.fromfile(path)
    except ImportError as error:
        lacks = compat.why_no_mask_heads() if 'mmdet' in str(error) else ''
        if lacks:
            raise compat.MMStackError(
                f'custom_imports: expected MMDetection, got an error: {lacks}'
            ) from error
        # MMEngine names all modules and the whole of sys.path, but neither the one nor the cause.
        check_imports(Config.fromfile(path, import_custom_modules=False))
        raise
