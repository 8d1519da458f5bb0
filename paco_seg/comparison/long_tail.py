"""Per-class results of two or more runs by training frequency: their table and their picture.

The runs are files of ``paco-seg test --out FILE.json``, of segmentation (head, common and tail
classes, as ``LongTailIoUMetric`` stores them) or of classification (many, medium and few, as
``LongTailAccuracy`` stores them).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paco_seg.core.frequency import GROUP_NAMES, SHOT_GROUPS, load_class_frequency

# Groups of either field from frequent to rare.
VOCABULARIES = (GROUP_NAMES, SHOT_GROUPS)
# Counts that a metric stores beside its values: argument -> column.
COUNTS = {'images': ('images', 'train_images'), 'pixels': ('pixels',)}
METRICS = ('IoU', 'accuracy')
MARKERS = 'osD^vP*X'
NAMED_CLASSES = 30  # more names than this cover each other
LABEL_PIXELS = np.array([45, 14])  # room of a name, at 100 pixels per inch


class Run(NamedTuple):
    """One file: its name in the picture and its per-class columns."""

    name: str
    file: str
    columns: dict[str, list[Any]]


class Frequencies(NamedTuple):
    """How often each class occurs in training, and the classes of each group.

    Args:
        counts: (C,) training images or pixels of each class.
        groups: name -> class indices, from frequent to rare; a group may be empty.
    """

    counts: np.ndarray
    groups: dict[str, list[int]]


def read_run(text: str, metric: str | None = None) -> Run:
    """Read one ``[NAME=]FILE.json``.

    Args:
        text: argument of the command line.
        metric: column that is wanted; None takes ``IoU`` or ``accuracy``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has no per-class values of the metric.
    """
    name, file = name_and_file(text)
    if not Path(file).is_file():
        raise FileNotFoundError(
            f'runs: expected a JSON file of paco-seg test --out, got {file!r}, which does not exist'
        )
    columns = read_json(file, 'JSON of paco-seg test --out').get('per_class') or {}
    wanted = METRICS if metric is None else (metric,)
    if 'class' not in columns or not set(wanted) & set(columns):
        raise ValueError(
            f'{file}: per_class: expected the columns class and {" or ".join(wanted)}, got '
            f'{list(columns) or "none"}. Write the file with paco-seg test --out FILE.json, or '
            'choose another --metric'
        )
    return Run(name, file, columns)


def name_and_file(text: str) -> tuple[str, str]:
    """Split ``[NAME=]FILE.json``; the name is that of the file if none is given."""
    name, separator, file = text.partition('=')
    if not separator or Path(text).is_file():  # folders of variants have a '=' in their names
        return Path(text).stem, text
    return name, file


def read_json(file: str, what: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        file: its path.
        what: what is expected, for the messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f'runs: expected {what}, got {file!r}, which does not exist')
    try:
        content = json.loads(Path(file).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{file}: expected {what}, got something else ({error})') from None
    if not isinstance(content, dict):
        raise ValueError(f'{file}: expected {what}, got a {type(content).__name__}')
    checkpoints = {
        name: part['checkpoint']
        for name, part in content.items()
        if isinstance(part, dict) and 'metrics' in part and 'checkpoint' in part
    }
    if checkpoints and 'metrics' not in content:
        raise ValueError(
            f'{file}: expected {what} about one checkpoint, got {", ".join(checkpoints)}, which '
            'a test of a work directory writes. Test one of them: paco-seg test CONFIG '
            f'{next(iter(checkpoints.values()))} --out FILE.json'
        )
    return content


def common_metric(runs: Sequence[Run], metric: str | None = None) -> str:
    """Return the column that is compared: ``metric``, or the one that all runs have.

    Raises:
        ValueError: some runs are of segmentation, others of classification.
    """
    for name in METRICS if metric is None else (metric,):
        if all(name in run.columns for run in runs):
            return name
    raise ValueError(
        f'{runs[-1].file}: per_class: expected the metric of {runs[0].file}, got '
        f'{list(runs[-1].columns)}. Compare runs of one task'
    )


def frequencies(
    runs: Sequence[Run], by: str = 'images', frequency_file: str | os.PathLike[str] | None = None
) -> Frequencies:
    """Return training counts and groups of the classes, on which all runs agree.

    Args:
        runs: first the one to compare with.
        by: 'images' or 'pixels'.
        frequency_file: class frequencies of segmentation; None takes those in the runs.

    Raises:
        ValueError: the runs are about other classes, counts or groups than the first, or know none.
    """
    first = runs[0]
    for run in runs[1:]:
        check_classes(run, first)
    if frequency_file:
        key = '--frequency-file'
        frequency = load_class_frequency(frequency_file, key=key, classes=first.columns['class'])
        return Frequencies(frequency.counts(by, key=key), frequency.groups(by))
    known = [run for run in runs if 'group' in run.columns and count_column(run, by)]
    if not known:
        raise ValueError(
            f'{first.file}: per_class: expected the columns group and {" or ".join(COUNTS[by])}, '
            f'got {list(first.columns)}. Test with LongTailIoUMetric or LongTailAccuracy, or give '
            '--frequency-file'
        )
    told = known[0]
    for run in known[1:]:
        for column in ('group', count_column(told, by)):
            if run.columns.get(column) != told.columns[column]:
                raise ValueError(
                    f'{run.file}: per_class.{column}: expected the values of {told.file}, got '
                    'others: the classes were grouped differently. Test again with the metric of '
                    'one config, or give --frequency-file'
                )
    return Frequencies(np.asarray(told.columns[count_column(told, by)]), groups_of(told.columns))


def groups_of(per_class: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    """Return the classes of each group, from frequent to rare; a group may be empty.

    Args:
        per_class: columns of a test; without the column ``group`` no group has a class.

    Returns:
        Name -> class indices. Names of neither field stand in the order of the classes.
    """
    found = per_class.get('group') or ()
    names = next((names for names in VOCABULARIES if set(found) <= set(names)), None)
    return {
        name: [i for i, group in enumerate(found) if group == name]
        for name in names or dict.fromkeys(found)
    }


def named_groups(per_class: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return the names of the classes of each group that has some."""
    names = per_class.get('class') or ()
    return {
        group: [str(names[index]) for index in members]
        for group, members in groups_of(per_class).items()
        if members and names
    }


def check_classes(run: Run, first: Run) -> None:
    """Refuse a run about other classes than the first.

    Raises:
        ValueError: names the file.
    """
    if run.columns['class'] != first.columns['class']:
        raise ValueError(
            f'{run.file}: per_class.class: expected the classes of {first.file}, got others. '
            'Compare runs on one dataset'
        )


def count_column(run: Run, by: str) -> str:
    """Return the column with the counts of one kind; empty if there is none."""
    return next((name for name in COUNTS[by] if name in run.columns), '')


def values_of(run: Run, metric: str) -> np.ndarray:
    """Return (C,) float64 in percent; NaN where a class never occurs."""
    return np.asarray(run.columns[metric], dtype=np.float64)  # None becomes NaN


def group_means(values: np.ndarray, groups: Mapping[str, list[int]]) -> dict[str, float]:
    """Return the mean over all classes and over each group, without classes that never occur."""
    members = {'all': list(range(len(values))), **groups}
    return {
        name: float(np.nanmean(values[index]))
        for name, index in members.items()
        if np.isfinite(values[index]).any()
    }


def means_text(runs: Sequence[Run], metric: str, groups: Mapping[str, list[int]]) -> str:
    """Return a line per run with the means of :func:`group_means`."""
    width = max(len(run.name) for run in runs)
    lines = []
    for run in runs:
        means = group_means(values_of(run, metric), groups)
        line = '  '.join(f'{name} {mean:6.2f}' for name, mean in means.items())
        lines.append(f'{run.name:{width}}  {line}')
    return '\n'.join(lines)


def draw(
    path: str | os.PathLike[str],
    runs: Sequence[Run],
    metric: str,
    by: str,
    frequency: Frequencies,
) -> None:
    """Draw the gain of every class over the first run, and the means of the groups.

    Args:
        path: picture to write.
        runs: first the one to compare with.
        metric: per-class column.
        by: what the counts count.
        frequency: of the classes.
    """
    from matplotlib import pyplot as plt

    from paco_seg.comparison import plots

    figure, (gains, bars) = plt.subplots(1, 2, figsize=(13, 5.4), layout='constrained')
    _draw_gains(gains, runs, metric, by, frequency)
    _draw_means(bars, runs, metric, frequency.groups)
    plots.save(figure, path)


def _draw_gains(
    axis: Any, runs: Sequence[Run], metric: str, by: str, frequency: Frequencies
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    from paco_seg.comparison.plots import GROUP_COLOURS

    counts, groups = frequency
    base = values_of(runs[0], metric)
    gains = [values_of(run, metric) - base for run in runs[1:]]
    # Colours belong to the groups, the shape of a point to its run.
    colours = dict(zip(groups, GROUP_COLOURS, strict=False))
    markers = [MARKERS[number % len(MARKERS)] for number in range(len(gains))]
    shown = {name: members for name, members in groups.items() if members}
    for gain, marker in zip(gains, markers, strict=True):
        for name, members in shown.items():
            axis.scatter(
                counts[members], gain[members], s=22, color=colours[name], marker=marker, alpha=0.7
            )
    axis.axhline(0, color='grey', linewidth=0.8)
    axis.set(
        # A class without training data has no place on a logarithmic axis.
        xscale='log' if (counts > 0).all() else 'symlog',
        xlabel=f'training {by} of the class',
        ylabel=f'{metric} gain over {runs[0].name}',
    )
    if axis.get_xscale() == 'log':
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
        axis.xaxis.set_minor_formatter(NullFormatter())
    _name_classes(axis, runs[0].columns['class'], counts, np.stack(gains))
    handles = [
        Line2D([], [], color=colours[name], marker='s', linestyle='', label=name) for name in shown
    ]
    handles += [
        Line2D([], [], color='dimgrey', marker=marker, linestyle='', label=run.name)
        for run, marker in zip(runs[1:], markers, strict=True)
    ]
    _legend_below(axis, handles)


def _name_classes(axis: Any, names: Sequence[str], counts: np.ndarray, gains: np.ndarray) -> None:
    """Write the name of each class above its highest point.

    Of more than ``NAMED_CLASSES`` those with the largest gains or losses, where they have room.
    """
    finite = np.isfinite(gains)
    highest = np.where(finite, gains, -np.inf).max(axis=0)
    largest = np.where(finite, np.abs(gains), -1).max(axis=0)
    order = [index for index in np.argsort(-largest, kind='stable') if largest[index] >= 0]
    crowded = len(order) > NAMED_CLASSES
    axis.margins(y=0.12)
    axis.autoscale_view()
    placed: list[np.ndarray] = []
    for index in order:
        place = axis.transData.transform((counts[index], highest[index]))
        if crowded and any((np.abs(place - other) < LABEL_PIXELS).all() for other in placed):
            continue
        placed.append(place)
        axis.annotate(
            names[index],
            (counts[index], highest[index]),
            xytext=(0, 4),
            textcoords='offset points',
            ha='center',
            va='bottom',
            fontsize=7,
        )
        if crowded and len(placed) == NAMED_CLASSES:
            break


def _draw_means(
    axis: Any, runs: Sequence[Run], metric: str, groups: Mapping[str, list[int]]
) -> None:
    from paco_seg.comparison import plots

    means = [group_means(values_of(run, metric), groups) for run in runs]
    names = [name for name in ('all', *groups) if any(name in known for known in means)]
    width = 0.8 / len(runs)
    for number, (run, known) in enumerate(zip(runs, means, strict=True)):
        places = np.arange(len(names)) + (number - (len(runs) - 1) / 2) * width
        heights = [known.get(name, np.nan) for name in names]
        colour = plots.colour(number, len(runs))
        drawn = axis.bar(places, heights, width, label=run.name, color=colour)
        labels = ['' if np.isnan(height) else f'{height:.1f}' for height in heights]
        # Side by side they have no room on many bars.
        axis.bar_label(
            drawn, labels, fontsize='small', rotation=0 if len(runs) < 5 else 90, padding=2
        )
    axis.set_xticks(range(len(names)), names)
    axis.set(ylabel=f'mean {metric}')
    axis.margins(y=0.12)
    _legend_below(axis, axis.get_legend_handles_labels()[0])


def _legend_below(axis: Any, handles: Sequence[Any]) -> None:
    """Put a legend under the axis, where it covers nothing."""
    axis.legend(
        handles=list(handles),
        loc='upper center',
        bbox_to_anchor=(0.5, -0.13),
        ncols=min(len(handles), 5),
        fontsize='small',
        frameon=False,
    )
