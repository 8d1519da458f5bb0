"""Compares the per-class results of two or more runs by class frequency, in one picture.

    python tools/test.py CONFIG CHECKPOINT --out ce.json        # once per run
    python tools/analysis/plot_long_tail.py CE=ce.json GPaCo=gpaco.json -o comparison.png

Left: gain of every class over the first run against its training frequency. Right: means of the
head, common and tail classes of every run. The same means are printed. Frequencies are those that
``LongTailIoUMetric`` stored in the files, or come from ``--frequency-file``.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paco_seg.core.frequency import GROUP_NAMES, GROUP_THRESHOLDS, load_class_frequency

MARKERS = 'osD^vP*X'


class Run(NamedTuple):
    """One file: its name in the picture and its per-class columns."""

    name: str
    file: str
    columns: dict[str, list]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description='Compare runs by class frequency')
    parser.add_argument(
        'runs', nargs='+', metavar='[NAME=]FILE.json', help='first the run to compare with'
    )
    parser.add_argument('-o', '--out', default='long_tail.png', help='picture to write')
    parser.add_argument('--metric', default='IoU', help='per-class column, default: IoU')
    parser.add_argument('--by', choices=list(GROUP_THRESHOLDS), default='images')
    parser.add_argument('--frequency-file', help='class frequencies; default: those in the runs')
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error('expected at least two runs')
    return args


def read_run(text: str, metric: str) -> Run:
    """Reads one ``[NAME=]FILE.json``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has no per-class values of the metric.
    """
    name, separator, file = text.partition('=')
    if not separator:
        name, file = Path(text).stem, text
    if not Path(file).is_file():
        raise FileNotFoundError(
            f'runs: expected a JSON file of tools/test.py --out, got {file!r}, which does not '
            'exist.'
        )
    content = json.loads(Path(file).read_text(encoding='utf-8'))
    columns = (content.get('per_class') if isinstance(content, dict) else None) or {}
    if metric not in columns or 'class' not in columns:
        raise ValueError(
            f'{file}: per_class: expected the columns class and {metric}, got '
            f'{list(columns) or "none"}. Write the file with tools/test.py --out FILE.json, or '
            'choose another --metric.'
        )
    return Run(name, file, columns)


def frequencies(
    runs: Sequence[Run], by: str, frequency_file: str | None
) -> tuple[np.ndarray, dict[str, list[int]]]:
    """(C,) training counts, and the classes of each group.

    Raises:
        ValueError: the runs are about other classes than the first, or know no frequencies.
    """
    first = runs[0].columns
    for run in runs[1:]:
        if run.columns['class'] != first['class']:
            raise ValueError(
                f'{run.file}: per_class.class: expected the classes of {runs[0].file}, got others. '
                'Compare runs on one dataset.'
            )
    if frequency_file:
        frequency = load_class_frequency(
            frequency_file, key='--frequency-file', classes=first['class']
        )
        return frequency.counts(by, '--frequency-file'), frequency.groups(by)
    for run in runs:
        if 'group' in run.columns and by in run.columns:
            groups = {
                name: [i for i, group in enumerate(run.columns['group']) if group == name]
                for name in GROUP_NAMES
            }
            return np.asarray(run.columns[by]), groups
    raise ValueError(
        f'{runs[0].file}: per_class: expected the columns group and {by}, got {list(first)}. Test '
        'with LongTailIoUMetric, or give --frequency-file.'
    )


def values_of(run: Run, metric: str) -> np.ndarray:
    """(C,) float64 in percent; NaN where a class never occurs."""
    return np.asarray(run.columns[metric], dtype=np.float64)  # None becomes NaN


def group_means(values: np.ndarray, groups: dict[str, list[int]]) -> dict[str, float]:
    """Mean over all classes and over each group, without classes that never occur."""
    members = {'all': list(range(len(values))), **groups}
    return {
        name: float(np.nanmean(values[index]))
        for name, index in members.items()
        if np.isfinite(values[index]).any()
    }


def draw(
    runs: Sequence[Run],
    metric: str,
    by: str,
    counts: np.ndarray,
    groups: dict[str, list[int]],
    out: str,
) -> None:
    """Draws the picture."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    figure, (scatter, bars) = plt.subplots(1, 2, figsize=(13, 4.5), layout='constrained')
    base = values_of(runs[0], metric)
    for number, run in enumerate(runs[1:]):
        gain = values_of(run, metric) - base
        for color, (group, members) in zip(
            ('tab:blue', 'tab:orange', 'tab:red'), groups.items(), strict=True
        ):
            scatter.scatter(
                counts[members],
                gain[members],
                s=18,
                color=color,
                marker=MARKERS[number % len(MARKERS)],
                alpha=0.7,
                label=f'{run.name}, {group}',
            )
    scatter.axhline(0, color='grey', linewidth=0.8)
    scatter.set(
        # A class without training data has no place on a logarithmic axis.
        xscale='log' if (counts > 0).all() else 'symlog',
        xlabel=f'training {by} of the class',
        ylabel=f'{metric} gain over {runs[0].name}',
    )
    scatter.legend(fontsize='small')
    width = 0.8 / len(runs)
    for number, run in enumerate(runs):
        means = group_means(values_of(run, metric), groups)
        places = np.arange(len(means)) + (number - (len(runs) - 1) / 2) * width
        drawn = bars.bar(places, list(means.values()), width, label=run.name)
        bars.bar_label(drawn, fmt='%.1f', fontsize='small')
        bars.set_xticks(range(len(means)), list(means))
    bars.set(ylabel=f'mean {metric}')
    bars.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Reads, prints the means, draws."""
    args = parse_args(argv)
    runs = [read_run(text, args.metric) for text in args.runs]
    counts, groups = frequencies(runs, args.by, args.frequency_file)
    width = max(len(run.name) for run in runs)
    for run in runs:
        means = group_means(values_of(run, args.metric), groups)
        line = '  '.join(f'{name} {mean:6.2f}' for name, mean in means.items())
        print(f'{run.name:{width}}  {line}')
    draw(runs, args.metric, args.by, counts, groups, args.out)
    print(args.out)


if __name__ == '__main__':
    main()
