"""Tiny random datasets in the folder layout and label convention of the real benchmarks."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

Images = dict[str, list[Path]]


def _save(image_path: Path, label_path: Path, labels: np.ndarray, rng: np.random.Generator) -> None:
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    image = rng.integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    cv2.imwrite(str(image_path), image)
    cv2.imwrite(str(label_path), labels.astype(np.uint8))


def _labels(rng: np.random.Generator, size: tuple[int, int], low: int, high: int) -> np.ndarray:
    """Blocks of 8x8 pixels with random labels in [low, high)."""
    blocks = rng.integers(low, high, (-(-size[0] // 8), -(-size[1] // 8)), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8), np.uint8))[: size[0], : size[1]]


def write_ade20k(root: Path, rng: np.random.Generator, size: tuple[int, int], num: int) -> None:
    """0 = other objects, 1 to 150 the classes (``reduce_zero_label=True``)."""
    for split, prefix in (('training', 'train'), ('validation', 'val')):
        for i in range(1, num + 1):
            name = f'ADE_{prefix}_{i:08d}'
            _save(
                root / 'images' / split / f'{name}.jpg',
                root / 'annotations' / split / f'{name}.png',
                _labels(rng, size, 0, 151),
                rng,
            )


def write_coco_stuff10k(
    root: Path, rng: np.random.Generator, size: tuple[int, int], num: int
) -> None:
    """0 = unlabelled, 1 to 171 the classes (``reduce_zero_label=True``)."""
    for split in ('train2014', 'test2014'):
        for i in range(1, num + 1):
            name = f'COCO_train2014_{i:012d}'
            _save(
                root / 'images' / split / f'{name}.jpg',
                root / 'annotations' / split / f'{name}_labelTrainIds.png',
                _labels(rng, size, 0, 172),
                rng,
            )


def write_pascal_context_59(
    root: Path, rng: np.random.Generator, size: tuple[int, int], num: int
) -> None:
    """0 = background, 1 to 59 the classes (``reduce_zero_label=True``); splits are lists."""
    lists = root / 'ImageSets' / 'SegmentationContext'
    lists.mkdir(parents=True)
    for split, first in (('train', 2), ('val', 1000)):
        names = [f'2008_{first + i:06d}' for i in range(num)]
        for name in names:
            _save(
                root / 'JPEGImages' / f'{name}.jpg',
                root / 'SegmentationClassContext' / f'{name}.png',
                _labels(rng, size, 0, 60),
                rng,
            )
        (lists / f'{split}.txt').write_text('\n'.join(names) + '\n')


def write_cityscapes(root: Path, rng: np.random.Generator, size: tuple[int, int], num: int) -> None:
    """0 to 18 the train ids, 255 = ignored; one folder per city."""
    for split, city in (('train', 'aachen'), ('val', 'lindau')):
        for i in range(num):
            name = f'{city}_{i:06d}_000019'
            labels = _labels(rng, size, 0, 20)
            labels[labels == 19] = 255
            _save(
                root / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png',
                root / 'gtFine' / split / city / f'{name}_gtFine_labelTrainIds.png',
                labels,
                rng,
            )


WRITERS: dict[str, Callable] = {
    'ade20k': write_ade20k,
    'coco-stuff10k': write_coco_stuff10k,
    'pascal-context-59': write_pascal_context_59,
    'cityscapes': write_cityscapes,
}


def write_benchmark(
    name: str, root: Path, *, size: tuple[int, int] = (48, 64), num: int = 2, seed: int = 0
) -> Path:
    """Write ``num`` training and ``num`` evaluation images of (H, W) ``size``; returns root."""
    WRITERS[name](Path(root), np.random.default_rng(seed), size, num)
    return Path(root)
