"""Tables of docs/evidence.md, from the committed results of ``paco-seg compare``.

A table has the rows that there are and says what is missing; a question is answered by differences
between rows, paired by seed, or said not to have been run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paco_seg.comparison.machine import elsewhere_text
from paco_seg.comparison.part import values_of
from paco_seg.comparison.tables import mean_and_deviation, text_table
from paco_seg.comparison.user_report import (
    RELATIVE,
    equal_time_table,
    main_table,
    metric_name,
    per_class_table,
)
from paco_seg.comparison.user_results import paired_values
from paco_seg.comparison.verdict import judge

SEEDS = 3  # of a complete row
NOT_RUN = 'Not run yet.'


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return ``results.json`` and ``costs.json`` of a comparison; None if it has not been run."""
    try:
        results, costs = (
            json.loads((folder / name).read_text(encoding='utf-8'))
            for name in ('results.json', 'costs.json')
        )
    except FileNotFoundError:
        return None
    return results, costs


def missing_lines(results: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    """Return what a table lacks, a line for each kind of gap; nothing for a complete one.

    Args:
        results: of a comparison.
        wanted: names of the systems that a complete table has.
    """
    seeds = {system['name']: len(system['runs']) for system in results['systems']}
    refused = dict(results['refused'])
    absent = [name for name in wanted if not seeds.get(name) and name not in refused]
    short = [f'{name} ({number} of {SEEDS})' for name, number in seeds.items() if number < SEEDS]
    lines = []
    if absent:
        lines.append(f'not run: {", ".join(absent)}')
    if short:
        lines.append(f'fewer seeds: {", ".join(short)}')
    lines += [f'failed: {cell} ({reason})' for cell, reason in results['failed']]
    return lines


def evidence_table(folder: Path, wanted: Iterable[str]) -> str:
    """Return the whole of a comparison: state, budget, systems, equal time and classes.

    Args:
        folder: of its JSON files.
        wanted: names of the systems that a complete table has.
    """
    loaded = load(folder)
    if loaded is None:
        return NOT_RUN
    results, costs = loaded
    gaps = missing_lines(results, wanted)
    machine, versions = costs['machine'], costs['versions']
    search = (
        f'settings from searches of {results["search_iters"]} iterations on '
        f'{results["search_data"]}'
        if results['search_iters']
        else 'settings: the defaults of every system'
    )
    state = '**Complete.**' if not gaps else '**Partial**, ' + '; '.join(gaps) + '.'
    for name, reason in results['refused']:  # which is an answer too
        state += f' {name} cannot serve this model: {reason}.'
    tables = [
        main_table(results, costs),
        equal_time_table(results, costs),
        per_class_table(results),
    ]
    main, at_time, classes = (text_table(table.header, table.rows) for table in tables)
    return '\n\n'.join(
        [
            state,
            f'{results["iters"]} iterations, {len(results["seeds"])} seeds; {search}; reported on '
            f'{results["reported"]}. Mean ± standard deviation over seeds. Measured on '
            f'{machine["processor"]}, {machine["cores"]} cores, torch {versions["torch"]}; the '
            'times include what else ran on the machine.'
            + elsewhere_text(costs)
            + f' {RELATIVE}: medians, of one machine each.' * bool(costs.get('elsewhere')),
            main,
            f'{metric_name(results)} on the data that choose:',
            at_time,
            f'{results["measure"]} of every class:',
            classes,
        ]
    )


def differences_table(folders: Mapping[str, Path], pairs: Sequence[tuple[str, str]]) -> str:
    """Return by how much one system is ahead of another, on each set.

    Args:
        folders: title of a set -> folder of its JSON files.
        pairs: names of two systems; the gain of the first over the second is told.
    """
    rows = []
    for title, folder in folders.items():
        loaded = load(folder)
        for first, second in pairs:
            rows.append([title, f'{first} - {second}', *_difference(loaded, first, second)])
    return text_table(['Data', 'Difference', 'Points', 'By the seeds'], rows)


def variants_table(
    folder: Path, groups: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]
) -> str:
    """Return what settings of a system do, each beside the same reference.

    The data that choose come first: whoever picks a row by the reported data picks by chance too.

    Args:
        folder: of the JSON files of the comparison.
        groups: for each reference its title, its name, and (title, name) of the variants.
    """
    loaded = load(folder)
    rows = []
    for title, reference, variants in groups:
        state = [NOT_RUN] * 2 if loaded is None else ['reference', '']
        rows.append([f'**{title}**', *_two_means(loaded, reference), *state])
        for variant_title, name in variants:
            difference = _difference(loaded, name, reference)
            rows.append([variant_title, *_two_means(loaded, name), *difference])
    header = ['Setting', 'On the data that choose', 'Reported', 'Difference', 'By the seeds']
    return text_table(header, rows)


def groups_table(folder: Path) -> str:
    """Return what a table of settings leaves out: groups of classes, time, and equal time.

    Args:
        folder: of the JSON files of the comparison.
    """
    loaded = load(folder)
    if loaded is None:
        return NOT_RUN
    results = loaded[0]
    main, equal_time = main_table(*loaded), equal_time_table(*loaded)
    at_time = {title: value for title, _, value in equal_time.rows}
    shown = [
        index
        for index, name in enumerate(main.header)
        if name in ('System', 'Training', RELATIVE, *results['groups'])
    ]
    rows = [[*(row[index] for index in shown), at_time.get(row[0], '-')] for row in main.rows]
    return text_table([*(main.header[index] for index in shown), equal_time.header[-1]], rows)


def _difference(loaded: tuple[dict, dict] | None, first: str, second: str) -> list[str]:
    """Return by how much a system is ahead of another, paired by seed, and what to say of it."""
    if loaded is None:
        return [NOT_RUN] * 2
    results = loaded[0]
    tie = results.get('baseline', '')  # those of the tests have none, and one machine
    values = paired_values(results['systems'], results['metric'], tie)
    values = {name: runs for name, runs in values.items() if runs}
    if not values.keys() >= {first, second}:
        return [NOT_RUN] * 2
    machines = {s['name']: _machine(s) for s in results['systems']}
    one, other = machines[first], machines[second]
    is_apart = tie not in (first, second) and any(
        one[seed] != other[seed] for seed in one.keys() & other.keys()
    )
    found = judge(values, second, only=[first], apart=[first] if is_apart else ()).get(first)
    if found is None:
        return [NOT_RUN] * 2
    runs, base = values[first], values[second]
    common = [runs[seed] - base[seed] for seed in runs if seed in base]
    return [mean_and_deviation(common), f'{found.says} ({found.seeds} seeds)']


def _machine(system: Mapping[str, Any]) -> dict[int, float | None]:
    """Return seed -> value of the baseline where a row was measured; None for here."""
    return {run['seed']: run.get('baseline') for run in system['runs']}


def _two_means(loaded: tuple[dict, dict] | None, name: str) -> list[str]:
    """Return the metric on the data that choose, and on those that are reported."""
    if loaded is None or not values_of(loaded[0], name):
        return [NOT_RUN] * 2
    runs = [
        run for system in loaded[0]['systems'] if system['name'] == name for run in system['runs']
    ]
    chosen = [run['validation'][-1][1] for run in runs if run.get('validation')]
    reported = list(values_of(loaded[0], name).values())
    return [mean_and_deviation(chosen), mean_and_deviation(reported)]
