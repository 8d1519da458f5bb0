"""Compare the per-class results of runs in one picture.

    paco-seg test CONFIG CHECKPOINT --out ce.json        # once per run
    paco-seg plot CE=ce.json GPaCo=gpaco.json -o comparison.png

Left: gain of every class over the first run against its training frequency. Right: means of the
head, common and tail classes (many, medium and few in classification) of every run. The same means
are printed. Frequencies and groups are those that ``LongTailIoUMetric`` or ``LongTailAccuracy``
stored in the files, or come from ``--frequency-file``.
"""

from __future__ import annotations

import argparse

from paco_seg.comparison import long_tail
from paco_seg.core.frequency import GROUP_THRESHOLDS
from paco_seg.files import check_output

# What Matplotlib writes.
SUFFIXES = ('.png', '.pdf', '.svg', '.eps', '.ps', '.jpg', '.jpeg', '.tif', '.tiff', '.webp')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument(
        'runs', nargs='+', metavar='[NAME=]FILE.json', help='first the run to compare with'
    )
    parser.add_argument('-o', '--out', default='long_tail.png', help='picture to write')
    parser.add_argument('--metric', help='per-class column, default: IoU or accuracy')
    parser.add_argument('--by', choices=list(GROUP_THRESHOLDS), default='images')
    parser.add_argument('--frequency-file', help='class frequencies; default: those in the runs')


def run(args: argparse.Namespace) -> None:
    """Read the runs, print the means, draw."""
    if len(args.runs) < 2:
        raise ValueError(
            f'runs: expected at least two runs, got {len(args.runs)}. Name another file'
        )
    runs = [long_tail.read_run(text, args.metric) for text in args.runs]
    check_output(args.out, inputs=[run.file for run in runs], suffixes=SUFFIXES)
    metric = long_tail.common_metric(runs, args.metric)
    frequency = long_tail.frequencies(runs, args.by, args.frequency_file)
    print(long_tail.means_text(runs, metric, frequency.groups))
    long_tail.draw(args.out, runs, metric, args.by, frequency)
    print(args.out)
