"""Reads what a picture of classes needs: files of ``paco-seg test --out``, or a comparison."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paco_seg.comparison import long_tail
from paco_seg.comparison.report import RESULTS
from paco_seg.comparison.user_study import TESTED
from paco_seg.engine.class_confusion import CONFUSION

Array = npt.NDArray[Any]


class Gains(NamedTuple):
    """What each run gains over the first, class by class.

    Args:
        gains: name -> (C,), NaN where it is unknown.
        classes: C names.
        groups: name -> class indices by falling frequency; empty where frequencies are unknown.
        label: of the differences.
    """

    gains: dict[str, Array]
    classes: list[str]
    groups: dict[str, list[int]]
    label: str


class Confusion(NamedTuple):
    """Which class is taken for which.

    Args:
        matrix: (C, C) counts; rows are labels.
        classes: C names.
        groups: as in :class:`Gains`.
        name: of the run.
    """

    matrix: Array
    classes: list[str]
    groups: dict[str, list[int]]
    name: str


def read_gains(
    sources: Sequence[str],
    metric: str | None = None,
    by: str = 'images',
    frequency_file: str | None = None,
) -> Gains:
    """Read the differences of runs, or of the systems of a comparison, to the first.

    Args:
        sources: two or more ``[NAME=]FILE.json``, or the folder of a comparison.
        metric: per-class column of files.
        by: what the frequencies of files count.
        frequency_file: class frequencies for files that have none.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: the runs do not belong together, or there is only one.
    """
    if len(sources) == 1 and Path(sources[0]).is_dir():
        results = _comparison(sources[0])
        values = {
            system['title']: _mean([run['per_class'] for run in system['runs']])
            for system in results['systems']
            if system['runs']
        }
        label = results['measure']
        classes, groups = results['classes'], results['groups']
    else:
        runs = [long_tail.read_run(source, metric) for source in sources]
        label = long_tail.common_metric(runs, metric)
        values = {run.name: long_tail.values_of(run, label) for run in runs}
        if len(values) < len(runs):
            raise ValueError(
                f'runs: expected different names, got {", ".join(run.name for run in runs)}. Give '
                'them as NAME=FILE'
            )
        classes = runs[0].columns['class']
        known = frequency_file or any(
            'group' in run.columns and long_tail.count_column(run, by) for run in runs
        )
        if known:
            groups = by_frequency(*long_tail.frequencies(runs, by, frequency_file))
        else:
            groups = {}
            for run in runs[1:]:
                long_tail.check_classes(run, runs[0])
    if len(values) < 2:
        raise ValueError(
            f'runs: expected at least two runs with different names, got {list(values)}. Name '
            'another file, as NAME=FILE.json'
        )
    first, *others = values
    gains = {name: values[name] - values[first] for name in others}
    return Gains(gains, classes, groups, f'{label} gain over {first}, points')


def read_confusion(source: str, system: str | None = None) -> Confusion:
    """Read the confusion matrix of a run, or of a system of a comparison over its seeds.

    Args:
        source: ``[NAME=]FILE.json``, or the folder of a comparison.
        system: name of a system of the comparison; None is the first.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: there is no matrix in it, or no such system.
    """
    if Path(source).is_dir():
        return _confusion_of_comparison(source, system)
    if system is not None:
        raise ValueError(
            f'--system: expected with the folder of a comparison, got {source!r}. Leave it out'
        )
    name, file = long_tail.name_and_file(source)
    content = long_tail.read_json(file, 'JSON of paco-seg test --confusion --out')
    found = content.get('confusion')
    columns = content.get('per_class') or {}
    if not isinstance(found, dict):
        raise ValueError(
            f'{file}: confusion: expected a matrix, got none. Write the file with paco-seg test '
            '--confusion --out FILE.json'
        )
    groups: dict[str, list[int]] = {}
    column = next((key for key in ('images', 'train_images') if key in columns), None)
    if column and 'group' in columns:
        groups = by_frequency(np.asarray(columns[column]), long_tail.groups_of(columns))
    matrix = np.asarray(found['matrix'], dtype=np.int64)
    return Confusion(matrix, found['classes'], groups, name)


def by_frequency(counts: Array, groups: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Order the classes of each group by falling count."""
    return {
        name: sorted(members, key=lambda index: (-counts[index], index))
        for name, members in groups.items()
    }


def most_confused(confusion: Confusion, number: int = 10) -> list[str]:
    """Say which classes are taken for which others most often, as lines.

    Args:
        confusion: of a run.
        number: lines.
    """
    shares = row_shares(confusion.matrix)
    np.fill_diagonal(shares, np.nan)
    flat = np.where(np.isnan(shares), -1, shares).ravel()
    lines = []
    for index in np.argsort(-flat, kind='stable')[:number]:
        label, taken = divmod(int(index), len(shares))
        if flat[index] > 0:
            names = confusion.classes
            lines.append(f'{flat[index]:5.1f} % of {names[label]} are taken for {names[taken]}')
    return lines


def row_shares(matrix: Array) -> Array:
    """Return the percent of each label, (C, C); NaN for a label that never occurs."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.full(matrix.shape, np.nan)
    np.divide(100.0 * matrix, totals, out=shares, where=totals > 0)
    return shares


def _confusion_of_comparison(folder: str, name: str | None) -> Confusion:
    results = _comparison(folder)
    systems = {system['name']: system for system in results['systems']}
    if name is not None and name not in systems:
        raise ValueError(f'--system: expected one of {", ".join(systems)}, got {name!r}')
    system = systems[name] if name is not None else results['systems'][0]
    here = [run['folder'] for run in system['runs'] if run['folder']]  # others were merged
    files = [Path(folder) / name / TESTED / CONFUSION for name in here]
    files = [file for file in files if file.is_file()]
    if not files:
        raise FileNotFoundError(
            f'{folder}: expected {TESTED}/{CONFUSION} in the folders of {system["name"]}, got '
            'none. Take the folder in which the comparison ran'
        )
    matrix = sum(np.asarray(json.loads(file.read_text()), dtype=np.int64) for file in files)
    return Confusion(
        np.asarray(matrix),
        results['classes'],
        results['groups'],
        f'{system["title"]}, {Path(folder).name}',
    )


def _mean(runs: Sequence[Sequence[float | None]]) -> Array:
    """Return the mean over the runs that know a class; NaN where none does."""
    values = np.array(runs, dtype=np.float64)  # None becomes NaN
    known = np.isfinite(values).sum(axis=0)
    means = np.full(values.shape[1], np.nan)
    np.divide(np.nansum(values, axis=0), known, out=means, where=known > 0)
    return means


def _comparison(folder: str) -> dict[str, Any]:
    content = long_tail.read_json(
        os.path.join(folder, RESULTS), 'the folder of paco-seg compare CONFIG'
    )
    if not {'systems', 'classes', 'groups'} <= set(content):
        raise ValueError(
            f'{folder}: expected the folder of paco-seg compare CONFIG, got one whose {RESULTS} '
            'has other entries. A suite draws its own pictures'
        )
    return content
