"""Images that somebody wants predictions of: one file, a folder, or a video."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mmcv
import numpy as np

from paco_seg.engine.image_files import check_complete, read_header
from paco_seg.engine.stages import first_line

IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
VIDEOS = ('.avi', '.mkv', '.mov', '.mp4', '.webm')
KEY = 'IMAGES'
# A list in an error message stops here.
SHOWN = 5
# A video of fewer than this share of the frames that it says it has is damaged.
FRAMES_EXPECTED = 0.95
# Of a video that does not say how many frames it shows in a second.
USUAL_FPS = 25.0


@dataclass(frozen=True)
class Media:
    """Named images in order.

    Args:
        names: where the results of each image belong, relative and without suffix; for a video as
            many as it says it has, which is an estimate.
        files: image file of each name; empty for a video.
        video: the video file, or None.
        fps: frames per second of the video.
    """

    names: tuple[str, ...]
    files: tuple[str, ...] = ()
    video: str | None = None
    fps: float = USUAL_FPS

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, str | np.ndarray]]:
        """Yield the name of each image with its file, or with the frame, (H, W, 3) BGR uint8."""
        if self.video is None:
            yield from zip(self.names, self.files, strict=True)
            return
        stem = Path(self.video).stem
        capture = cv2.VideoCapture(self.video)
        try:
            number = 0
            while True:
                found, frame = capture.read()
                if not found:
                    return
                yield f'{stem}_{number:06d}', frame
                number += 1
        finally:
            capture.release()


def find_media(path: str | os.PathLike[str]) -> Media:
    """Find the images below a path, and refuse what cannot be read.

    Args:
        path: an image, a video, or a folder with images, in folders of it too.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: it is no image or video, it has no images, or some of them cannot be read
            (names them).
    """
    source = Path(path).expanduser()
    if source.is_dir():
        files = sorted(_images_in(source))
        if not files:
            raise ValueError(
                f'{KEY}: expected a folder with images ({", ".join(IMAGES)}), got {str(path)!r} '
                'without any. Name another folder'
            )
        names = _unique([file.relative_to(source) for file in files])
    elif source.is_file() and source.suffix.lower() in VIDEOS:
        return _video(source)
    elif source.is_file() and source.suffix.lower() in IMAGES:
        files, names = [source], (readable_name(source.stem),)
    elif source.exists():
        raise ValueError(
            f'{KEY}: expected a folder, an image ({", ".join(IMAGES)}) or a video '
            f'({", ".join(VIDEOS)}), got {str(path)!r}. Convert it first'
        )
    else:
        raise FileNotFoundError(
            f'{KEY}: expected an existing file or folder, got {str(path)!r}. The path is relative '
            f'to {os.getcwd()}'
        )
    _check_readable(files)
    return Media(names, tuple(map(str, files)))


def _images_in(folder: Path) -> Iterator[Path]:
    """Walk through a folder and those in it, links included, each once; skip hidden ones."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        # A link may lead back to a folder around it.
        folders[:] = [] if real in seen else sorted(n for n in folders if n[0] != '.')
        if real not in seen:
            seen.add(real)
            files = [Path(place, name) for name in names if name[0] != '.']
            yield from (f for f in files if f.suffix.lower() in IMAGES and f.is_file())


def _unique(files: list[Path]) -> tuple[str, ...]:
    """Names without suffix, but for files that would share one."""
    stems = [readable_name(file.with_suffix('').as_posix()) for file in files]
    number = Counter(stems)
    taken = {stem for stem in stems if number[stem] == 1}
    names = []
    for stem, file in zip(stems, files, strict=True):
        name = stem
        if number[stem] > 1:
            name = f'{stem}_{file.suffix[1:]}'
            while name in taken:  # a.png beside a.jpg and a_png.bmp
                name += '_'
            taken.add(name)
        names.append(name)
    return tuple(names)


def readable_name(name: str) -> str:
    """Return a name that can be written: what is not UTF-8 on the disk is read as Latin-1."""
    return '/'.join(
        part if _is_utf8(part) else os.fsencode(part).decode('latin-1') for part in name.split('/')
    )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _video(source: Path) -> Media:
    if not _is_utf8(str(source)):  # it would end the process in OpenCV
        raise ValueError(
            f'{KEY}: expected a video with a name in UTF-8, got {readable_name(str(source))!r}. '
            'Rename the file or its folder'
        )
    capture = cv2.VideoCapture(str(source))
    found, _ = capture.read()
    number = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    if not found:
        raise ValueError(
            f'{KEY}: expected a video that OpenCV reads, got {str(source)!r}. Convert it, for '
            'instance to MP4 with H.264'
        )
    names = tuple(f'{source.stem}_{index:06d}' for index in range(max(number, 1)))
    return Media(names, video=str(source), fps=fps if 0 < fps < math.inf else USUAL_FPS)


def _check_readable(files: list[Path]) -> None:
    bad = []
    for file in files:
        why = ''
        try:
            readable = read_header(str(file)) is not None or (
                _is_utf8(str(file)) and cv2.haveImageReader(str(file))
            )
        except (OSError, ValueError) as error:
            readable, why = False, f' ({first_line(error)})'
        if not readable:
            bad.append(f'{readable_name(str(file))}{why}')
    if bad:
        raise ValueError(
            f'{KEY}: expected images that can be read, got {len(bad)} that cannot: '
            f'{_some_of(bad)}. Remove or replace them'
        )


def damage_of(file: str) -> str:
    """Return why an image cannot be decoded to its end; '' if Pillow knows nothing against it.

    :func:`find_media` reads headers alone: to decode thousands of images before the first one is
    predicted would take minutes. Decoded when its turn comes, a file is read from the disk once.
    """
    try:
        check_complete(file)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything
        return first_line(error)
    return ''


def shortfall_of(media: Media, delivered: int) -> str:
    """Return what is missing of a video that ended early; '' if nothing is.

    OpenCV ends at the first frame that it cannot decode, without saying so.

    Args:
        media: any.
        delivered: number of its images so far.
    """
    # Some formats only estimate their number of frames.
    if media.video is None or delivered >= FRAMES_EXPECTED * len(media):
        return ''
    return f'it says that it has {len(media)} frames, and no more than {delivered} can be read'


def opencv_reads(file: str) -> bool:
    """Tell whether OpenCV, with which pipelines load, decodes an image; Pillow forgives more."""
    try:
        return mmcv.imread(file, 'unchanged') is not None
    except OSError:
        return False


def refusal_of_damaged(damaged: Mapping[str, str], predicted: int) -> ValueError:
    """Return what to raise for images that could not be predicted, once the others are.

    Args:
        damaged: readable name of a file -> why, at least one.
        predicted: number of the others.
    """
    found = [f'{file} ({why})' for file, why in damaged.items()]
    others = f'The other {predicted} are predicted. ' if predicted else ''
    return ValueError(
        f'{KEY}: expected images that can be decoded to their end, got {len(found)} that cannot: '
        f'{_some_of(found)}. {others}Remove or replace the damaged ones'
    )


def _some_of(names: Sequence[str]) -> str:
    rest = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return f'{", ".join(names[:SHOWN])}{rest}'
