"""Pictures of predictions, and a page that shows them without a network."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np

from paco_seg.comparison.document import Block, Gallery, Heading, Legend, Picture, Text, as_html
from paco_seg.files import write_text, written_aside

# Longest side of a panel: enough to look at, and a folder of photographs stays small.
_PANEL = 960
_SMALL = 192  # side up to which thumbnails are enlarged, for their titles
_BAR = 22  # height of the line with the titles, in pixels
_MOST_PICTURES = 2000  # of one page


def palette_of(number: int, known: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Return the colours of the classes, (C, 3) RGB uint8: those of the data set, or our own.

    Our own are hues a golden angle apart, in three brightnesses.
    """
    if known is not None and len(known) >= number:
        return np.array(known[:number], dtype=np.uint8)
    hues = np.arange(number) * 0.618034 % 1.0
    values = np.array((0.95, 0.7, 0.45))[np.arange(number) % 3]
    colours = [
        colorsys.hsv_to_rgb(hue, 0.75, value) for hue, value in zip(hues, values, strict=True)
    ]
    return np.round(255 * np.array(colours).reshape(number, 3)).astype(np.uint8)


def overlay(image: np.ndarray, label_map: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the image, (H, W, 3) BGR uint8, tinted by the class of each pixel, (H, W)."""
    tint = palette[:, ::-1][label_map]
    blended: np.ndarray = cv2.addWeighted(image, 0.45, tint, 0.55, 0)
    return blended


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return where two label maps differ as a picture, white on black, (H, W, 3) uint8."""
    return np.repeat(((first != second) * np.uint8(255))[..., None], 3, axis=2)


def beside(panels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Put panels of one size beside each other, each under its title."""
    columns = []
    for title, panel in panels.items():
        side = max(panel.shape[:2])
        scale = min(1.0, _PANEL / side) * max(1, _SMALL // side)
        if scale != 1:
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
            height, width = (max(1, round(length * scale)) for length in panel.shape[:2])
            panel = cv2.resize(panel, (width, height), interpolation=method)
        bar = np.full((_BAR, panel.shape[1], 3), 255, dtype=np.uint8)
        # OpenCV's letters are ASCII; the page has the names as they are.
        text = title.encode('ascii', 'replace').decode()
        while text and cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0] > len(bar[0]):
            text = text[:-1]
        cv2.putText(bar, text, (2, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.concatenate([bar, panel]))
    return np.concatenate(columns, axis=1)


@contextmanager
def written_video(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an MP4 video frame by frame, complete or not at all.

    MPEG-4 is the codec that the wheels of OpenCV write on every platform.

    Args:
        path: the file, which ends in ``.mp4``.
        fps: frames per second.

    Yields:
        What adds a frame, (H, W, 3) BGR uint8; all have one size.

    Raises:
        OSError: it cannot be encoded or written.
    """
    with written_aside(path) as unfinished, ExitStack() as stack:
        writer = cv2.VideoWriter()
        stack.callback(writer.release)

        def add(frame: np.ndarray) -> None:
            height, width = frame.shape[:2]
            codec = cv2.VideoWriter.fourcc(*'mp4v')
            if not writer.isOpened() and not writer.open(
                str(unfinished), codec, fps, (width, height)
            ):
                raise OSError(f'{path}: expected a video that OpenCV encodes, got {width}x{height}')
            writer.write(frame)

        yield add


def write_gallery(
    folder: Path,
    title: str,
    about: Sequence[str],
    pictures: Sequence[Picture],
    legend: Sequence[tuple[str, Sequence[int]]] = (),
) -> None:
    """Write ``index.html`` beside the pictures; it names their files and asks for nothing else."""
    blocks: list[Block] = [Heading(title, 1), *(Text(line) for line in about)]
    if legend:
        blocks.append(Legend(legend))
    shown = pictures[:_MOST_PICTURES]
    if len(shown) < len(pictures):
        blocks.append(Text(f'The first {len(shown)} of {len(pictures)} pictures.'))
    blocks.append(Gallery(shown))
    write_text(folder / 'index.html', as_html(blocks, folder, embed=False))
