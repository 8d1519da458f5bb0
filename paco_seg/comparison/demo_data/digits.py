"""The demo classification set: the digits bundled with scikit-learn, long-tailed.

``images/`` with ``training``, ``search`` and ``validation``, a ``path label`` list of each
(``training.txt`` ...), ``class_counts.json`` (training images per digit) and ``statistics.json``.
No network is needed and the same seed gives the same bytes.

Training holds ``round(100 * 50 ** (-d / 9))`` images of digit ``d`` (100 zeros, 2 nines),
``search`` 30 of each and ``validation`` 44, all different scans. ``search`` is for choosing
settings, ``validation`` for reporting.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from paco_seg.comparison.demo_data.writing import write_image, write_set
from paco_seg.files import write_json, write_text

NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
MOST, IMBALANCE = 100, 50
# Scans of each digit that a split draws from; the rarest digit of scikit-learn has 174.
SPLITS = {'training': MOST, 'search': 30, 'validation': 44}


@dataclass(frozen=True)
class DigitSettings:
    """What decides the content of the set; the defaults are what the quickstart configs expect.

    Args:
        seed: of the choice of scans, >= 0.
        size: height and width in pixels, at least the 8 of the scans.
    """

    seed: int = 0
    size: int = 16


def write_digits(out: Path, settings: DigitSettings, *, force: bool = False) -> None:
    """Write the set unless the same one is there; see :func:`.writing.write_set`."""
    write_set(out, asdict(settings), lambda root: write_dataset(root, settings), force=force)


def training_counts() -> list[int]:
    """Training images per digit d: ``round(MOST * IMBALANCE ** (-d / 9))``."""
    return [round(MOST * IMBALANCE ** (-d / (len(NAMES) - 1))) for d in range(len(NAMES))]


def split_sources(digits: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """Deal the scans to the splits: split -> for each digit, indices into the scans."""
    rng = np.random.default_rng(seed)
    sources: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    ends = np.cumsum(list(SPLITS.values()))
    for digit, count in enumerate(training_counts()):
        scans = rng.permutation(np.flatnonzero(digits == digit))
        training, search, validation = np.split(scans[: ends[-1]], ends[:-1])
        sources['training'].append(training[:count])
        sources['search'].append(search)
        sources['validation'].append(validation)
    return sources


def write_dataset(root: Path, settings: DigitSettings) -> None:
    """Fill the empty folder ``root``."""
    scans = load_digits()
    sources = split_sources(scans.target, settings.seed)
    for split, classes in sources.items():
        (root / 'images' / split).mkdir(parents=True)
        lines = []
        for digit, members in enumerate(classes):
            for scan in members.tolist():
                image = cv2.resize(
                    scans.images[scan] / 16,
                    (settings.size, settings.size),
                    interpolation=cv2.INTER_CUBIC,
                )
                path = f'images/{split}/{digit}_{scan:04d}.png'
                write_image(root / path, np.rint(image.clip(0, 1) * 255).astype(np.uint8))
                lines.append(f'{path} {digit}\n')
        write_text(root / f'{split}.txt', ''.join(lines))
    write_json(root / 'class_counts.json', training_counts(), indent=None)
    statistics = dict(
        settings=asdict(settings),
        classes=NAMES,
        splits={
            split: dict(images=[len(members) for members in classes])
            for split, classes in sources.items()
        },
    )
    write_json(root / 'statistics.json', statistics)
