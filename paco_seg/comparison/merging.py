"""Rows that the same comparison left in other folders, on other machines or days.

A part has to answer the same question: data, length, seeds and groups agree. The baseline, which
every comparison trains, ties the parts together. It has to come out alike, and each row is judged
beside the one of its own machine. So are its times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from statistics import fmean
from typing import Any

from paco_seg.comparison.part import Part, shortened, values_of
from paco_seg.comparison.report import RESULTS
from paco_seg.comparison.user_results import baseline_seconds, equal_time, verdicts_of
from paco_seg.comparison.user_study import SystemResult
from paco_seg.engine.systems import TrainingSystem

# What two comparisons have to agree in to be one table.
_SAME = (
    'seeds',
    'iters',
    'search_iters',
    'search_data',
    'reported',
    'set_aside',
    'measure',
    'metric',
    'baseline',
    'classes',
    'images',
    'pixels',
    'num_images',
    'groups',
)
# The same, where a part tells them: older results do not.
_SAME_IF_TOLD = ('test_samples', 'search_samples', 'validations', 'options')


def check_part(part: Part, facts: Mapping[str, Any]) -> None:
    """Check that a part answers the same question as the comparison that it joins.

    Args:
        part: of another comparison.
        facts: of this one, see :func:`paco_seg.comparison.user_results.facts_of`.

    Raises:
        ValueError: it does not, or its baseline has no result.
    """
    for key in ('config', *_SAME, *_SAME_IF_TOLD):
        if key in _SAME_IF_TOLD and not {key} <= part.results.keys() & facts.keys():
            continue
        own, other = json.loads(json.dumps(facts[key])), part.results[key]
        if key == 'config':  # which may lie elsewhere
            own, other = (PureWindowsPath(name.rsplit('::', 1)[-1]).stem for name in (own, other))
        if own != other:
            raise ValueError(
                f'--merge: expected the same {key} as in this comparison, {shortened(own)}, got '
                f'{shortened(other)} in {str(part.folder / RESULTS)!r}. Compare the same config '
                'with the same options'
            )
    if not part.baseline():
        raise ValueError(
            f'--merge: expected a result of the baseline {facts["baseline"]!r}, which ties the '
            f'machines together, got none in {str(part.folder / RESULTS)!r}. Leave the folder out'
        )


def check_baseline(
    baseline: SystemResult, parts: Sequence[Part], metric: str, margin: float
) -> None:
    """Check that the baseline came out alike in all parts.

    Args:
        baseline: its runs here.
        parts: of other comparisons.
        metric: that is judged.
        margin: points within which a difference does not matter.

    Raises:
        ValueError: it did not.
    """
    values = {
        seed: value
        for seed, run in baseline.runs.items()
        if (value := run['test']['metrics'].get(metric)) is not None
    }
    for part in parts:
        _check_means(values, part, margin)


def left_to_run(
    systems: Sequence[TrainingSystem], baseline: str, parts: Sequence[Part], *, here: Path
) -> list[TrainingSystem]:
    """Return the systems that no part has with all seeds, and those that they start from.

    The baseline always runs: it is what ties the parts together. What has begun here goes on here.

    Args:
        systems: each after the one that it starts from.
        baseline: name of the one that all are compared with.
        parts: of other comparisons.
        here: folder of this comparison.
    """
    finished = set[str]().union(*(part.finished() for part in parts)) - {baseline}
    needed: set[str] = set()
    for system in reversed(systems):
        name = system.name
        if name not in finished or name in needed or (here / name).is_dir():
            needed.add(name)
            if system.source is not None:
                needed.add(system.source)
    return [system for system in systems if system.name in needed]


def merge(
    results: Mapping[str, Any],
    costs: Mapping[str, Any],
    parts: Sequence[Part],
    *,
    order: Sequence[str] = (),
    margin: float,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return results and costs with the rows of the parts.

    Of a system that several have, the row with the most runs is taken; of equal ones the first,
    where this comparison comes before the parts. The baseline is that of this comparison.

    Args:
        results: of this comparison.
        costs: of this comparison.
        parts: that :func:`check_part` accepts.
        order: names of systems; rows of others come last.
        margin: points within which a difference does not matter.

    Raises:
        ValueError: the mean of the baseline of a part differs by more than the margin.
    """
    if not parts:
        return dict(results), dict(costs)
    metric, baseline = results['metric'], results['baseline']
    own = values_of(results, baseline)
    rows = {system['name']: system for system in results['systems']}
    came_from: dict[str, Part] = {}
    for part in parts:
        _check_means(own, part, margin)
        for system in part.results['systems']:
            name = system['name']
            known = len(rows[name]['runs']) if name in rows else 0
            if name != baseline and len(system['runs']) > known:
                rows[name] = _elsewhere(system, part)
                came_from[name] = part
    place = {name: index for index, name in enumerate(order)}
    systems = sorted(rows.values(), key=lambda system: place.get(system['name'], len(place)))
    merged = dict(results)
    merged['systems'] = systems
    for key in ('refused', 'failed'):  # of what is told, and has no row or a row of that part
        own_told = [list(entry) for entry in results[key]]
        told = [entry for entry in own_told if entry[0].split('/')[0] not in came_from]
        for part in parts:
            for subject, why in part.results[key]:
                name = subject.split('/')[0]
                row = rows.get(name)
                if row is None or not row['runs'] or came_from.get(name) is part:
                    told += [[subject, why]] * (subject not in dict(told))
        merged[key] = told
    merged['verdicts'] = verdicts_of(systems, metric, baseline, margin=margin)
    by_name = dict(costs['systems'])
    for name, part in came_from.items():
        seconds = baseline_seconds(part.results, part.costs['systems'])
        by_name[name] = {'baseline_seconds': seconds, **part.costs['systems'][name]}
    merged_costs = dict(costs)
    merged_costs['systems'] = {system['name']: by_name[system['name']] for system in systems}
    merged_costs['elsewhere'] = [*costs.get('elsewhere', ()), *_machines(parts, came_from)]
    merged_costs['equal_time'] = equal_time(merged, merged_costs['systems'])
    return merged, merged_costs


def _elsewhere(system: Mapping[str, Any], part: Part) -> dict[str, Any]:
    """Return a row whose runs have no folder here, and know the baseline that they stand beside."""
    there = part.baseline()
    runs = [
        {'baseline': there.get(run['seed']), **run, 'folder': None}  # a part may have parts
        for run in system['runs']
    ]
    return {**system, 'runs': runs}


def _machines(parts: Sequence[Part], came_from: Mapping[str, Part]) -> list[dict[str, Any]]:
    """Return the machines of the rows that are taken: what they are, baseline and rows."""
    found = []
    for part in parts:
        taken = [name for name, source in came_from.items() if source is part]
        further = part.costs.get('elsewhere', [])
        inner = {name for entry in further for name in entry['systems']}
        own = dict(
            machine=part.costs['machine'],
            versions=part.costs['versions'],
            baseline=fmean(part.baseline().values()),
            systems=[name for name in taken if name not in inner],
        )
        for entry in (own, *further):
            names = [name for name in taken if name in entry['systems']]
            if names:
                found.append({**entry, 'systems': names})
    return found


def _check_means(own: Mapping[int, float], part: Part, margin: float) -> None:
    """Refuse a baseline whose mean over the common seeds differs by more than the margin."""
    other = part.baseline()
    common = own.keys() & other.keys()
    if not common:
        return
    here, there = (fmean(values[seed] for seed in common) for values in (own, other))
    if abs(here - there) <= margin:
        return
    raise ValueError(
        f'--merge: expected the baseline {part.results["baseline"]!r} within {margin:g} points of '
        f'the {here:.1f} of this comparison, got {there:.1f} in '
        f'{str(part.folder / RESULTS)!r}: it is another training. Compare with the same options, '
        'or leave the folder out'
    )
