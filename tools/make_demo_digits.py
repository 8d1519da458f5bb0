"""Write the demo classification set: the digits bundled with scikit-learn, long-tailed.

    python tools/make_demo_digits.py --out data/digits_lt

Writes ``images/`` with ``training``, ``search`` and ``validation``, a ``path label`` list of each
(``training.txt`` ...), ``class_counts.json`` (training images per digit) and ``statistics.json``.
No network is needed and the same seed gives the same bytes.

Training holds ``round(100 * 50 ** (-d / 9))`` images of digit ``d`` (100 zeros, 2 nines),
``search`` 30 of each and ``validation`` 44, all different scans. ``search`` is for choosing
settings, ``validation`` for reporting.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from paco_seg.engine.demo_data import write_image, write_set

NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
MOST, IMBALANCE = 100, 50
# Scans of each digit that a split draws from; the rarest digit of scikit-learn has 174.
SPLITS = {'training': MOST, 'search': 30, 'validation': 44}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line; the defaults are the set that the quickstart configs expect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=Path('data/digits_lt'))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--size', type=int, default=16, help='height and width; the scans have 8')
    parser.add_argument('--force', action='store_true', help='replace a set that exists')
    args = parser.parse_args(argv)
    if args.size < 8:
        parser.error(f'--size: expected at least 8, got {args.size}.')
    return args


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


def write_dataset(root: Path, args: argparse.Namespace) -> None:
    """Fill the empty folder ``root``."""
    scans = load_digits()
    sources = split_sources(scans.target, args.seed)
    for split, classes in sources.items():
        (root / 'images' / split).mkdir(parents=True)
        lines = []
        for digit, members in enumerate(classes):
            for scan in members.tolist():
                image = cv2.resize(
                    scans.images[scan] / 16, (args.size, args.size), interpolation=cv2.INTER_CUBIC
                )
                path = f'images/{split}/{digit}_{scan:04d}.png'
                write_image(root / path, np.rint(image.clip(0, 1) * 255).astype(np.uint8))
                lines.append(f'{path} {digit}\n')
        (root / f'{split}.txt').write_text(''.join(lines))
    (root / 'class_counts.json').write_text(json.dumps(training_counts()) + '\n')
    statistics = dict(
        settings=settings(args),
        classes=NAMES,
        splits={
            split: dict(images=[len(members) for members in classes])
            for split, classes in sources.items()
        },
    )
    (root / 'statistics.json').write_text(json.dumps(statistics, indent=1) + '\n')


def settings(args: argparse.Namespace) -> dict:
    """What decides the content of the set."""
    return dict(seed=args.seed, size=args.size)


def main(argv: list[str] | None = None) -> None:
    """Write the set unless the same one is there already."""
    args = parse_args(argv)
    write_set(args.out, settings(args), lambda root: write_dataset(root, args), force=args.force)
    print(f'{args.out}: training images per digit {training_counts()}')


if __name__ == '__main__':
    main()
