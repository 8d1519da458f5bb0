"""The demo segmentation set, composed from the handwritten digits bundled with scikit-learn.

ADE20K folders (``images/`` and ``annotations/`` with ``training``, ``search`` and ``validation``),
``statistics.json`` (counts, settings and source digits of every split) and
``class_frequency.json`` (the training frequencies, as ``paco-seg statistics`` writes them). No
network is needed and the same seed gives the same bytes.

Training holds ``round(1500 * 100 ** (-d / 9))`` instances of digit ``d`` (1500 zeros, 15 nines),
the balanced splits 60 of each. ``search`` is for choosing settings, ``validation`` for reporting;
no source digit serves two splits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.datasets import load_digits

from paco_seg.comparison.demo_data.writing import write_image, write_set
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.files import write_json
from paco_seg.seg.datasets import DigitScenesDataset

NUM_DIGITS = 10
IMBALANCE = 100
# Share of the source digits of each class that a split draws from.
SPLITS = {'training': 0.6, 'search': 0.2, 'validation': 0.2}


@dataclass(frozen=True)
class SceneSettings:
    """What decides the content of the set; the defaults are what the quickstart configs expect.

    Args:
        seed: of all draws, >= 0.
        size: height and width of a scene in pixels, at least 48.
        digits_per_scene: digits in a scene, at least 1.
        max_instances: training instances of the digit zero, at least 100.
        balanced_instances: instances per digit of the other splits, at least 1.
    """

    seed: int = 0
    size: int = 96
    digits_per_scene: int = 8
    max_instances: int = 1500
    balanced_instances: int = 60


def write_scenes(out: Path, settings: SceneSettings, *, force: bool = False) -> None:
    """Write the set unless the same one is there; see :func:`.writing.write_set`."""
    write_set(out, asdict(settings), lambda root: write_dataset(root, settings), force=force)


def long_tailed_counts(max_instances: int) -> list[int]:
    """Training instances per digit d: ``round(max_instances * IMBALANCE ** (-d / 9))``."""
    return [round(max_instances * IMBALANCE ** (-d / (NUM_DIGITS - 1))) for d in range(NUM_DIGITS)]


def split_sources(digits: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """Deal the scanned digits to the splits: split -> for each digit, indices into the scans."""
    rng = np.random.default_rng([seed, len(SPLITS)])
    sources: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for digit in range(NUM_DIGITS):
        scans = rng.permutation(np.flatnonzero(digits == digit))
        ends = np.rint(np.cumsum(list(SPLITS.values())) * len(scans)).astype(int)
        for split, part in zip(SPLITS, np.split(scans, ends[:-1]), strict=True):
            sources[split].append(part)
    return sources


def plan_scenes(
    counts: list[int], sources: list[np.ndarray], per_scene: int, rng: np.random.Generator
) -> list[list[tuple[int, int]]]:
    """Scenes as lists of (digit, scan); each digit d occurs exactly ``counts[d]`` times."""
    instances = [
        (digit, int(sources[digit][i % len(sources[digit])]))
        for digit, count in enumerate(counts)
        for i in range(count)
    ]
    order = rng.permutation(len(instances))
    shuffled = [instances[i] for i in order]
    return [shuffled[i : i + per_scene] for i in range(0, len(shuffled), per_scene)]


def texture(size: int, colour: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3) float field: a colour with blotches and stripes."""
    cells = int(rng.integers(3, 9))
    blotches = cv2.resize(
        rng.normal(size=(cells, cells, 3)), (size, size), interpolation=cv2.INTER_CUBIC
    )
    wave = rng.uniform(-0.6, 0.6, size=2)
    rows, columns = np.mgrid[:size, :size]
    stripes = np.sin(wave[0] * rows + wave[1] * columns + rng.uniform(0, 2 * np.pi))
    return (
        colour
        + strength * blotches
        + strength * rng.uniform(0, 1) * stripes[..., None] * rng.uniform(-1, 1, size=3)
    )


def place_digit(
    placed: list[np.ndarray], side: float, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Centre of the next digit: the one of some random points that is farthest from the others.

    Digits may overlap, but none disappears behind the others.
    """
    points = rng.uniform(side / 2, size - side / 2, size=(12, 2))
    if not placed:
        return points[0]
    distances = np.linalg.norm(points[:, None] - np.stack(placed), axis=-1)
    return points[distances.min(axis=1).argmax()]


def draw_digit(
    scan: np.ndarray, centre: np.ndarray, side: float, size: int, rng: np.random.Generator
) -> np.ndarray:
    """(size, size) opacity in [0, 1] of one scan, ``side`` pixels high, turned and sheared."""
    zoom = side / scan.shape[0]
    angle, shear = rng.uniform(-0.15, 0.15, size=2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = zoom * turn @ np.array([[1, shear], [0, 1]])
    offset = centre - matrix @ np.full(2, (scan.shape[0] - 1) / 2)
    # a rim of zeros lets the strokes at the border of the scan fade out
    padded = np.pad(scan / 16.0, 2)
    offset = offset - matrix @ np.full(2, 2)
    drawn = cv2.warpAffine(
        padded, np.column_stack([matrix, offset]), (size, size), flags=cv2.INTER_CUBIC
    )
    # steepen the soft edge of the enlarged scan around its half height
    return np.clip((drawn - 0.45) * 4 + 0.5, 0, 1)


def random_colour(darkest: float, lightest: float, rng: np.random.Generator) -> np.ndarray:
    """An RGB colour of random hue whose mean lies between two grey levels."""
    colour = rng.uniform(0.4, 1, size=3)
    return colour * rng.uniform(darkest, lightest) / colour.mean()


def draw_scene(
    plan: list[tuple[int, int]], scans: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Image (size, size, 3) and label map (size, size), both uint8."""
    # dark ground, light strokes: a network from scratch learns shapes within a minute
    image = texture(size, random_colour(20, 70, rng), rng.uniform(5, 15), rng)
    label = np.zeros((size, size), dtype=np.uint8)
    placed: list[np.ndarray] = []
    for digit, scan in plan:
        side = rng.uniform(0.25, 0.36) * size
        placed.append(place_digit(placed, side, size, rng))
        opacity = draw_digit(scans[scan], placed[-1], side, size, rng)
        strokes = texture(size, random_colour(140, 200, rng), rng.uniform(4, 12), rng)
        image += opacity[..., None] * (strokes - image)
        label[opacity > 0.5] = digit + 1
    for _ in range(int(rng.integers(0, 3))):
        # clutter in front of everything: thin bars, labelled background
        start, end = rng.integers(0, size, size=(2, 2)).tolist()
        bar = np.zeros((size, size), dtype=np.uint8)
        cv2.line(bar, start, end, 1, int(rng.integers(1, 4)))
        image[bar > 0] = random_colour(30, 210, rng)
        label[bar > 0] = 0
    image += rng.normal(scale=rng.uniform(2, 7), size=image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), label


def write_split(
    root: Path,
    split: str,
    plans: list[list[tuple[int, int]]],
    scans: np.ndarray,
    settings: SceneSettings,
) -> dict:
    """Draw and write the scenes of a split; returns its statistics."""
    images, annotations = (root / kind / split for kind in ('images', 'annotations'))
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    num_classes = NUM_DIGITS + 1
    pixels = np.zeros(num_classes, dtype=np.int64)
    present = np.zeros(num_classes, dtype=np.int64)
    for index, plan in enumerate(plans):
        rng = np.random.default_rng([settings.seed, list(SPLITS).index(split), index])
        image, label = draw_scene(plan, scans, settings.size, rng)
        write_image(images / f'{index:05d}.jpg', image[..., ::-1])
        write_image(annotations / f'{index:05d}.png', label)
        counts = np.bincount(label.ravel(), minlength=num_classes)
        pixels += counts
        present += counts > 0
    drawn = [digit for plan in plans for digit, _ in plan]
    return dict(
        num_images=len(plans),
        instances=np.bincount(drawn, minlength=NUM_DIGITS).tolist(),
        images=present.tolist(),
        pixels=pixels.tolist(),
        sources=sorted({scan for plan in plans for _, scan in plan}),
    )


def write_dataset(root: Path, settings: SceneSettings) -> None:
    """Fill the empty folder ``root``."""
    scans = load_digits()
    classes = tuple(map(str, DigitScenesDataset.METAINFO['classes']))
    sources = split_sources(scans.target, settings.seed)
    statistics: dict[str, Any] = dict(
        settings=asdict(settings),
        classes=classes,
        palette=DigitScenesDataset.METAINFO['palette'],
        splits={},
    )
    for number, split in enumerate(SPLITS):
        counts = (
            long_tailed_counts(settings.max_instances)
            if split == 'training'
            else [settings.balanced_instances] * NUM_DIGITS
        )
        rng = np.random.default_rng([settings.seed, len(SPLITS) + 1, number])
        plans = plan_scenes(counts, sources[split], settings.digits_per_scene, rng)
        statistics['splits'][split] = write_split(root, split, plans, scans.images, settings)
    training = statistics['splits']['training']
    save_class_frequency(
        ClassFrequency(
            classes=classes,
            images=tuple(training['images']),
            pixels=tuple(training['pixels']),
            num_images=training['num_images'],
        ),
        root / 'class_frequency.json',
    )
    write_json(root / 'statistics.json', statistics)
