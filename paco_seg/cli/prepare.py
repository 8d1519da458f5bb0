"""Write a benchmark's images and label maps as its config reads them.

    paco-seg prepare ade20k-full ADE20K_2021_17_01 [--out data/ade_full]

``ade20k-full`` is ADE20K with the 847 classes that training and validation share. It takes the
unpacked release of 2021 and writes label maps of 16 bits, images whose shorter side has at most
512 pixels, and classes.txt, last.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from paco_seg.cli.arguments import at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line; the defaults are what the configs expect."""
    parser.add_argument('benchmark', choices=['ade20k-full'])
    parser.add_argument('source', type=Path, help='unpacked folder of the release')
    parser.add_argument('--out', type=Path, default=Path('data/ade_full'))
    parser.add_argument(
        '--classes', type=at_least(2), help='number of classes to expect; default: 847'
    )
    parser.add_argument('--jobs', type=int, help='processes; default: one per CPU core')


def run(args: argparse.Namespace) -> None:
    """Write the benchmark and print how many images it has."""
    from paco_seg.engine.parallel import check_jobs
    from paco_seg.seg.datasets.ade20k_full_preparation import NUM_CLASSES, prepare

    number = args.classes or NUM_CLASSES
    images = prepare(args.source, args.out, jobs=check_jobs(args.jobs), num_classes=number)
    counts = ', '.join(f'{count} {split}' for split, count in images.items())
    print(f'{args.out}: {number} classes; images: {counts}')
