"""``make stress``: what the package promises under stress, tried at random and counted."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from stress.areas import AREAS, OUT, ROOT, run_areas

from paco_seg.comparison.process import allow_forks


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m stress', description=__doc__)
    parser.add_argument('--areas', nargs='+', choices=list(AREAS), default=list(AREAS))
    parser.add_argument('--short', action='store_true', default=os.environ.get('STRESS') == 'short')
    parser.add_argument('--seed', type=int, default=0, help='another one tries other moments')
    parser.add_argument(
        '--out', type=Path, help=f'JSON; default: {OUT.relative_to(ROOT)}, none for the short form'
    )
    args = parser.parse_args()
    torch.set_num_threads(1)  # children are forks, which OpenMP's threads do not survive
    allow_forks()
    out = args.out or (None if args.short else OUT)
    losses = run_areas(args.areas, args.seed, short=args.short, out=out)
    return 1 if losses else 0


if __name__ == '__main__':
    sys.exit(main())
