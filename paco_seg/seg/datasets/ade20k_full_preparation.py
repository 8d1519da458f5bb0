"""ADE20K-Full from the release of 2021: which classes both splits hold, and their label maps.

The release stores the class of a pixel in two channels of a PNG, as ``R // 10 * 256 + G``; 0 is no
object. The name of each number stands in the JSON file beside it. The benchmark keeps the classes
that occur in training and in validation, 847 of more than 3000, and images whose shorter side has
at most 512 pixels.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.pictures import read_picture, write_picture
from paco_seg.engine.stages import first_line
from paco_seg.files import check_folder, write_text, written_aside
from paco_seg.seg.datasets.ade20k_full_dataset import CLASS_FILE, IGNORED

NUM_CLASSES = 847
SPLITS = ('training', 'validation')
_LONGEST_SHORTER_SIDE = 512
_JPEG_QUALITY = 95


class Objects(NamedTuple):
    """What one image shows.

    Attributes:
        pixels: number of a class in the release -> its pixels.
        names: number -> name, as far as the JSON file tells.
    """

    pixels: dict[int, int]
    names: dict[int, str]


def prepare(source: Path, out: Path, *, jobs: int, num_classes: int = NUM_CLASSES) -> Counter:
    """Write images, label maps of 16 bits and the names of the classes.

    Classes are numbered by falling number of training pixels. ``classes.txt`` is written last: a
    folder that has it is complete.

    Args:
        source: the unpacked release, ``ADE20K_2021_17_01``.
        out: folder to fill.
        jobs: number of processes.
        num_classes: classes that are expected.

    Returns:
        split -> its number of images.

    Raises:
        ValueError: the folder cannot be written to, a split has no images, a file cannot be read,
            or the splits share another number of classes.
    """
    check_folder(out)
    if out.resolve() == source.resolve():
        raise ValueError(f'--out: expected another folder than the release, got {str(out)!r}')
    images = [(split, path) for split in SPLITS for path in _images(source, split)]
    found = map_in_parallel(_objects, None, [path for _, path in images], jobs, chunksize=16)
    pixels = {split: Counter[int]() for split in SPLITS}
    names: dict[int, str] = {}
    for (split, _), objects in zip(images, found, strict=True):
        pixels[split].update(objects.pixels)
        names.update(objects.names)
    numbers = common_classes(pixels['training'], pixels['validation'])
    if len(numbers) != num_classes:
        raise ValueError(
            f'{source}: expected {num_classes} classes that are in both splits, got '
            f'{len(numbers)}. Check that the release is complete, or pass --classes '
            f'{len(numbers)}'
        )
    (out / CLASS_FILE).unlink(missing_ok=True)
    table = np.full(256 * 26, IGNORED, dtype=np.uint16)
    table[numbers] = np.arange(len(numbers), dtype=np.uint16)
    for _ in map_in_parallel(_write, (table, out), images, jobs, chunksize=16):
        pass
    lines = [names.get(number, f'object {number}') for number in numbers]
    write_text(out / CLASS_FILE, '\n'.join(lines) + '\n')
    return Counter(split for split, _ in images)


def common_classes(training: Counter[int], validation: Counter[int]) -> list[int]:
    """List the classes that both splits hold, by falling training pixels, ties by number."""
    both = [number for number in training if number and validation[number]]
    return sorted(both, key=lambda number: (-training[number], number))


def object_numbers(mask: np.ndarray) -> np.ndarray:
    """Return the number of the class of each pixel, (H, W) int64, of a mask (H, W, 3) in BGR."""
    return mask[..., 2].astype(np.int64) // 10 * 256 + mask[..., 1]


def _images(source: Path, split: str) -> Sequence[Path]:
    folder = source / 'images' / 'ADE' / split
    paths = sorted(folder.rglob('ADE_*.jpg'))
    if not paths:
        raise ValueError(
            f'{source}: expected images ADE_*.jpg below images/ADE/{split}, got none. Name the '
            'unpacked folder ADE20K_2021_17_01'
        )
    return paths


def _objects(_: None, image: Path) -> Objects:
    numbers, counts = np.unique(object_numbers(_mask(image)), return_counts=True)
    pixels = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    description = image.with_suffix('.json')
    try:
        # Not all files of the release are UTF-8.
        content = json.loads(description.read_bytes().decode('utf-8', errors='replace'))
        listed = content['annotation']['object']
        names = {int(item['name_ndx']): str(item['name']).strip() for item in listed}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{description}: expected the objects of the image, got {first_line(error)}. Unpack '
            'the release again'
        ) from error
    return Objects(pixels, {number: names[number] for number in pixels if number in names})


def _mask(image: Path) -> np.ndarray:
    path = image.with_name(f'{image.stem}_seg.png')
    mask = read_picture(path)
    if mask is None:
        raise ValueError(f'{path}: expected the objects of {image.name}, got no readable PNG')
    return mask


def _write(shared: tuple[np.ndarray, Path], task: tuple[str, Path]) -> None:
    (table, out), (split, path) = shared, task
    labels = table[object_numbers(_mask(path))]
    target = out / 'images' / split / path.name
    height, width = labels.shape
    shorter = min(height, width)
    if shorter <= _LONGEST_SHORTER_SIDE:
        with written_aside(target) as unfinished:
            unfinished.write_bytes(path.read_bytes())
    else:
        size = [round(side * _LONGEST_SHORTER_SIDE / shorter) for side in (width, height)]
        image = read_picture(path)
        if image is None:
            raise ValueError(f'{path}: expected an image, got no readable JPEG')
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        write_picture(target, image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    write_picture(out / 'annotations' / split / f'{path.stem}.png', labels)
