"""Image files as they are on disk, apart from what a pipeline makes of them."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from mmengine import fileio
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Modes whose values fit into eight bits of one channel: bilevel, grey, palette indices.
BYTE_MODES = ('1', 'L', 'P')
# EXIF orientations that exchange height and width.
TRANSPOSED = (5, 6, 7, 8)


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about itself before its pixels are decoded.

    Args:
        format: name of the format, e.g. ``'PNG'``.
        mode: pixel mode of Pillow, e.g. ``'L'`` or ``'I;16'``.
        size: (H, W) as stored.
        orientation: EXIF orientation, 1 to 8; 1 = as stored.
    """

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int

    @property
    def shown_size(self) -> tuple[int, int]:
        """(H, W) once the EXIF orientation is applied."""
        return self.size[::-1] if self.orientation in TRANSPOSED else self.size


def read_header(path: str, backend_args: dict | None = None) -> ImageHeader | None:
    """Read the header of an image file.

    Args:
        path: the file.
        backend_args: MMEngine file backend of the dataset.

    Returns:
        The header, or None for a format of another decoder (``.npy``, most of ``.tif``).

    Raises:
        OSError: the file is not there, is a folder, or cannot be read.
        ValueError: it has more pixels than Pillow decodes without a warning.
    """
    with _opened(path, backend_args) as image:
        return None if image is None else _header(image)


def check_complete(path: str, backend_args: dict | None = None) -> ImageHeader | None:
    """Decode a file to its end; OpenCV would fill what is missing with grey.

    Returns:
        As :func:`read_header`.

    Raises:
        OSError: the file ends early, or as for :func:`read_header`.
        ValueError: as for :func:`read_header`.
    """
    with _opened(path, backend_args) as image:
        if image is None:
            return None
        image.load()
        return _header(image)


def read_raw(path: str, backend_args: dict | None = None, *, turned: bool = False) -> np.ndarray:
    """Return the stored values, (H, W) or (H, W, channels), palette indices for palettes.

    Args:
        path: a file that :func:`read_header` knows.
        backend_args: MMEngine file backend of the dataset.
        turned: apply the EXIF orientation.
    """
    with _opened(path, backend_args) as image:
        if image is None:
            raise ValueError('expected an image that Pillow reads, got another format')
        return np.array(ImageOps.exif_transpose(image) if turned else image)


def is_file(path: str, backend_args: dict | None = None) -> bool:
    """Whether there is such a file, in the dataset's storage."""
    return bool(fileio.isfile(path, backend_args=backend_args))


def _header(image: Image.Image) -> ImageHeader:
    # Pillow decodes a whole PNG for EXIF data that may stand behind the pixels.
    cheap = image.format != 'PNG' or 'exif' in image.info
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if cheap else 1
    return ImageHeader(
        format=image.format or '',
        mode=image.mode,
        size=(image.height, image.width),
        orientation=orientation if orientation in range(1, 9) else 1,
    )


@contextmanager
def _opened(path: str, backend_args: dict | None) -> Iterator[Image.Image | None]:
    local = not backend_args and '://' not in path
    if local and os.path.isdir(path):
        raise IsADirectoryError('it is a folder')
    source = path if local else io.BytesIO(fileio.get(path, backend_args=backend_args))
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice its limit, without the name of the file.
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            image = Image.open(source)
    except UnidentifiedImageError:
        yield None
        return
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(
            f'expected at most {Image.MAX_IMAGE_PIXELS} pixels, got more: cut it into tiles'
        ) from None
    with image:
        yield image
