"""Writing a generated data set: complete or absent, and never mixed with another's files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paco_seg.engine.pictures import encode_picture
from paco_seg.files import check_folder

JPEG_QUALITY = 95


def write_set(
    out: Path, settings: dict[str, Any], write: Callable[[Path], None], *, force: bool
) -> None:
    """Write a data set unless the same one is there already.

    Everything is written beside the target and renamed at the end, so that a folder that exists
    is complete.

    Args:
        out: folder of the set.
        settings: what decides the content of the set.
        write: fills an empty folder; writes ``statistics.json`` with ``settings`` into it.
        force: replace a set that exists.

    Raises:
        ValueError: the folder cannot be written to, holds something else, or a set of other
            settings without ``force``.
    """
    check_folder(out)
    if out.exists():
        found = existing_settings(out)
        if not force:
            if found == settings:
                print(f'{out} is complete, nothing to do (--force writes it again)')
                return
            raise ValueError(
                f'--out: expected a set with {settings}, got one with {found} at '
                f'{str(out)!r}. Pass --force to replace it or choose another folder'
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}-') as partial:
        root = Path(partial) / out.name
        root.mkdir()
        write(root)
        if out.exists():
            shutil.rmtree(out)
        os.replace(root, out)


def existing_settings(out: Path) -> dict:
    """Return the settings of the set at ``out``; refuse a folder without such a set."""
    try:
        return json.loads((out / 'statistics.json').read_text())['settings']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'--out: expected a new folder or an earlier demo set, got {str(out)!r} without a '
            'readable statistics.json. Choose another folder or remove this one'
        ) from error


def write_image(path: Path, image: np.ndarray) -> None:
    """Write one file or raise; it needs no name aside, since its folder gets its own at the end."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == '.jpg' else []
    encoded = encode_picture(path, image, options)
    try:
        path.write_bytes(encoded)
    except OSError as error:
        raise OSError(
            f'{path}: expected to write an image, got {error.strerror}. Check disk and rights'
        ) from error
