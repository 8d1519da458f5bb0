"""Rows that the same comparison left in other folders, on other machines or days.

What the seeds decide is taken as it is, after a check that it answers the same question: data,
length, seeds and groups agree, and the baseline, which every comparison trains, comes out alike.
Times are those of the machine that measured them; for the column "At equal time" each machine
counts by its own baseline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from paco_seg.comparison.report import RESULTS
from paco_seg.comparison.user_results import COSTS, baseline_seconds, equal_time, verdicts_of
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
_SYSTEM = ('name', 'title', 'trains', 'source', 'combines_with', 'search', 'chosen', 'runs')
_RUN = ('seed', 'metrics', 'per_class', 'confused', 'loss', 'validation')
_COST = ('train_seconds', 'own_seconds', 'peak_memory_mib', 'sample_milliseconds', 'commits')
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Part:
    """What a comparison left in a folder.

    Args:
        folder: of its JSON files.
        results: of :func:`paco_seg.comparison.user_results.results_of`.
        costs: of :func:`paco_seg.comparison.user_results.costs_of`.
    """

    folder: Path
    results: dict[str, Any]
    costs: dict[str, Any]

    def finished(self) -> set[str]:
        """Return the systems that have a run of every seed."""
        systems, seeds = self.results['systems'], len(self.results['seeds'])
        return {system['name'] for system in systems if len(system['runs']) == seeds}


def read_part(folder: Path) -> Part:
    """Read what a comparison left.

    Raises:
        ValueError: a file is missing or has other content.
    """
    try:
        results, costs = (
            json.loads((folder / name).read_text(encoding='utf-8')) for name in (RESULTS, COSTS)
        )
        for key in ('config', *_SAME, 'refused', 'failed'):
            results[key]
        for system in results['systems']:
            for row, keys in ((system, _SYSTEM), (costs['systems'][system['name']], _COST)):
                for key in keys:
                    row[key]
            for run in system['runs']:
                for key in _RUN:
                    run[key]
        costs['machine']['processor'], costs['machine']['cores'], costs['versions']['torch']
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        what = f'without {error}' if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f'--merge: expected a folder with {RESULTS} and {COSTS} of `paco-seg compare`, got '
            f'{str(folder)!r}: {what}'
        ) from None
    return Part(folder, results, costs)


def check_part(part: Part, facts: Mapping[str, Any]) -> None:
    """Check that a part answers the same question as the comparison that it joins.

    Args:
        part: of another comparison.
        facts: of this one, see :func:`paco_seg.comparison.user_results.facts_of`.

    Raises:
        ValueError: it does not.
    """
    for key in ('config', *_SAME):
        own, other = _plain(facts[key]), part.results[key]
        if key == 'config':  # which may lie elsewhere
            own, other = (Path(str(name).rsplit('::', 1)[-1]).stem for name in (own, other))
        if own != other:
            raise ValueError(
                f'--merge: expected the same {key} as in this comparison, {_short(own)}, got '
                f'{_short(other)} in {str(part.folder / RESULTS)!r}. Compare the same config with '
                'the same options'
            )


def left_to_run(
    systems: Sequence[TrainingSystem], baseline: str, parts: Sequence[Part]
) -> list[TrainingSystem]:
    """Return the systems that no part has with all seeds, and those that they start from.

    The baseline always runs: it is what ties the parts together.

    Args:
        systems: each after the one that it starts from.
        baseline: name of the one that all are compared with.
        parts: of other comparisons.
    """
    finished = set[str]().union(*(part.finished() for part in parts)) - {baseline}
    needed: set[str] = set()
    for system in reversed(systems):
        if system.name not in finished or system.name in needed:
            needed.add(system.name)
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

    A system that several have comes from the first, which is this comparison.

    Args:
        results: of this comparison.
        costs: of this comparison.
        parts: checked ones.
        order: names of systems; rows of others come last.
        margin: points within which a difference does not matter.

    Raises:
        ValueError: the baseline of a part is another one: its mean differs by more than the margin.
    """
    systems = {system['name']: system for system in results['systems'] if system['runs']}
    rows = dict(costs['systems'])
    refused = dict(results['refused'])
    failed = dict(results['failed'])
    elsewhere = list(costs.get('elsewhere', ()))
    for part in parts:
        _check_baseline(results, part, margin)
        seconds = baseline_seconds(part.results, part.costs['systems'])
        new = [s for s in part.results['systems'] if s['runs'] and s['name'] not in systems]
        taken = {system['name'] for system in new}
        systems |= {system['name']: _elsewhere(system) for system in new}
        rows |= {
            name: {'baseline_seconds': seconds, **part.costs['systems'][name]} for name in taken
        }
        refused = {**dict(part.results['refused']), **refused}
        failed = {**dict(part.results['failed']), **failed}
        # A part may have parts itself.
        further = list(part.costs.get('elsewhere', ()))
        named = {name for entry in further for name in entry['systems']}
        own = dict(
            machine=part.costs['machine'],
            versions=part.costs['versions'],
            systems=[name for name in taken if name not in named],
        )
        for entry in (own, *further):
            names = [system['name'] for system in new if system['name'] in set(entry['systems'])]
            if names:
                elsewhere.append({**entry, 'systems': names})
    for system in results['systems']:
        systems.setdefault(system['name'], system)
    place = {name: index for index, name in enumerate(order)}
    ordered = sorted(systems.values(), key=lambda system: place.get(system['name'], len(place)))
    merged = dict(results)
    merged['systems'] = ordered
    merged['refused'] = [[name, why] for name, why in refused.items() if name not in systems]
    merged['failed'] = [[cell, why] for cell, why in failed.items() if not _has_run(cell, systems)]
    merged['verdicts'] = verdicts_of(ordered, results['metric'], results['baseline'], margin=margin)
    merged_costs = {**costs, 'systems': {s['name']: rows[s['name']] for s in ordered}}
    merged_costs['elsewhere'] = elsewhere
    merged_costs['equal_time'] = equal_time(merged, merged_costs['systems'])
    return merged, merged_costs


def _elsewhere(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose runs have no folder here, for the pictures of predictions."""
    return {**system, 'runs': [{**run, 'folder': None} for run in system['runs']]}


def _has_run(cell: str, systems: Mapping[str, Mapping[str, Any]]) -> bool:
    name, _, seed = cell.partition('/seed_')
    runs = systems[name]['runs'] if name in systems else ()
    return any(str(run['seed']) == seed for run in runs)


def _check_baseline(results: Mapping[str, Any], part: Part, margin: float) -> None:
    own, other = (_baseline_mean(one) for one in (results, part.results))
    if own is None or other is None or abs(own - other) <= margin:
        return
    raise ValueError(
        f'--merge: expected the baseline {results["baseline"]!r} within {margin:g} points of the '
        f'{own:.1f} of this comparison, got {other:.1f} in {str(part.folder / RESULTS)!r}: it is '
        'another training. Compare with the same options, or leave the folder out'
    )


def _baseline_mean(results: Mapping[str, Any]) -> float | None:
    values = [
        run['metrics'].get(results['metric'])
        for system in results['systems']
        if system['name'] == results['baseline']
        for run in system['runs']
    ]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _plain(value: Any) -> Any:
    """Return what JSON makes of a value."""
    return json.loads(json.dumps(value))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f'{text[: _SHOWN - 4]} ...'
