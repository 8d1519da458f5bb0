"""What a comparison left in a folder elsewhere, read and checked: its files are data of strangers.

Every value that is used later is checked here, so that a wrong one is told with its file and place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paco_seg.comparison.report import RESULTS
from paco_seg.comparison.user_results import COSTS

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

    def baseline(self) -> dict[int, float]:
        """Return seed -> value of the baseline."""
        return values_of(self.results, self.results['baseline'])


def read_part(folder: Path) -> Part:
    """Read what a comparison left.

    Raises:
        ValueError: a file is missing or has other content.
    """
    try:
        results, costs = (
            json.loads((folder / name).read_text(encoding='utf-8')) for name in (RESULTS, COSTS)
        )
        _check_results(results)
        _check_costs(costs, results)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f'--merge: expected a folder with {RESULTS} and {COSTS} of `paco-seg compare`, got '
            f'{str(folder)!r}: {error}'
        ) from None
    return Part(folder, results, costs)


def values_of(results: Mapping[str, Any], name: str) -> dict[int, float]:
    """Return seed -> value of the metric that is judged, of a system."""
    metric = results['metric']
    return {
        run['seed']: run['metrics'][metric]
        for system in results['systems']
        if system['name'] == name
        for run in system['runs']
        if run['metrics'].get(metric) is not None
    }


def shortened(value: Any) -> str:
    """Return a value for a message."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f'{text[: _SHOWN - 4]} ...'


def _check_results(results: Any) -> None:
    _need(results, dict, RESULTS)
    for key in ('config', 'search_data', 'reported', 'measure', 'metric', 'baseline'):
        _need(results.get(key), str, key)
    for key in ('iters', 'search_iters', 'set_aside', 'num_images'):
        _need(results.get(key), int, key)
    for key, kind in (('seeds', int), ('classes', str), ('images', int)):
        _need_list(results.get(key), key, kind)
    _need(results.get('groups'), dict, 'groups')
    if 'pixels' not in results:
        raise ValueError('pixels: expected a list or null, got nothing')
    for key in ('refused', 'failed'):
        for entry in _need_list(results.get(key), key, list):
            if len(entry) != 2 or not all(isinstance(word, str) for word in entry):
                raise ValueError(f'{key}: expected pairs of texts, got {shortened(entry)}')
    names = []
    for system in _need_list(results.get('systems'), 'systems', dict):
        name = _need(system.get('name'), str, 'name of a system')
        names.append(name)
        for key in ('title', 'summary', 'inference'):
            _need(system.get(key), str, f'{name}, {key}')
        _need(system.get('trains'), bool, f'{name}, trains')
        _need_list(system.get('combines_with'), f'{name}, combines_with', str)
        for key in ('source', 'chosen'):
            if system.get(key) is not None:
                _need(system[key], str, f'{name}, {key}')
        for entry in _need_list(system.get('search'), f'{name}, search', dict):
            for key in ('label', 'text'):
                _need(entry.get(key), str, f'{name}, search, {key}')
            for key in ('rate', 'value'):
                _need_number(entry.get(key), f'{name}, search, {key}')
        seeds = []
        for run in _need_list(system.get('runs'), f'{name}, runs', dict):
            _check_run(run, f'{name}, runs', results)
            seeds.append(run['seed'])
        if len(set(seeds)) < len(seeds) or not set(seeds) <= set(results['seeds']):
            raise ValueError(
                f'{name}: expected each of the seeds {results["seeds"]} at most once, got {seeds}'
            )
    if len(set(names)) < len(names):
        raise ValueError(f'systems: expected each once, got {", ".join(names)}')


def _check_run(run: Mapping[str, Any], place: str, results: Mapping[str, Any]) -> None:
    _need(run.get('seed'), int, f'{place}, seed')
    for key, value in _need(run.get('metrics'), dict, f'{place}, metrics').items():
        _need_number(value, f'{place}, {key}')
    _need_number(run.get('baseline'), f'{place}, baseline')
    number = len(results['classes'])
    values = _need_list(run.get('per_class'), f'{place}, per_class', object)
    for value in values:
        _need_number(value, f'{place}, per_class')
    if len(values) != number:
        raise ValueError(f'{place}, per_class: expected {number} values, got {len(values)}')
    for label, pairs in _need(run.get('confused'), dict, f'{place}, confused').items():
        _need_pairs(pairs, f'{place}, confused')
        if not (label.isdecimal() and int(label) < number) or not all(
            isinstance(other, int) and 0 <= other < number for other, _ in pairs
        ):
            raise ValueError(f'{place}, confused: expected classes below {number}')
    for key in ('loss', 'validation'):
        _need_pairs(run.get(key), f'{place}, {key}')


def _check_costs(costs: Any, results: Mapping[str, Any]) -> None:
    _need(costs, dict, COSTS)
    for entry in (costs, *_need_list(costs.get('elsewhere', []), 'elsewhere', dict)):
        machine = _need(entry.get('machine'), dict, 'machine')
        _need(machine.get('processor'), str, 'processor')
        _need(machine.get('cores'), int, 'cores')
        _need(_need(entry.get('versions'), dict, 'versions').get('torch'), str, 'torch')
        if entry is not costs:
            _need_list(entry.get('systems'), 'elsewhere, systems', str)
            if entry.get('baseline') is None:
                raise ValueError('elsewhere, baseline: expected a number, got null')
            _need_number(entry['baseline'], 'elsewhere, baseline')
    by_name = _need(costs.get('systems'), dict, 'systems')
    for system in results['systems']:
        name = system['name']
        cost = _need(by_name.get(name), dict, f'{COSTS}, {name}')
        for key in ('train_seconds', 'own_seconds'):
            seconds = _need_list(cost.get(key), f'{name}, {key}', object)
            if len(seconds) != len(system['runs']) or None in seconds:
                raise ValueError(f'{name}, {key}: expected a time of every run, got {seconds}')
            for value in seconds:
                _need_number(value, f'{name}, {key}')
        for key in ('peak_memory_mib', 'sample_milliseconds', 'parameters', 'baseline_seconds'):
            _need_number(cost.get(key), f'{name}, {key}')
        _need_list(cost.get('commits'), f'{name}, commits', str)


def _need(value: Any, kind: type, place: str) -> Any:
    """Return a value of a type; whole numbers are no truth values."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f'{place}: expected {kind.__name__}, got {shortened(value)}')
    return value


def _need_list(value: Any, place: str, kind: type) -> list[Any]:
    """Return a list whose entries are of a type."""
    for entry in _need(value, list, place):
        _need(entry, kind, place)
    return list(value)


def _need_number(value: Any, place: str) -> None:
    """Check a finite number, or None."""
    if value is not None and not (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ):
        raise ValueError(f'{place}: expected a finite number or null, got {shortened(value)}')


def _need_pairs(value: Any, place: str) -> None:
    """Check a list of pairs of numbers."""
    for entry in _need_list(value, place, list):
        if len(entry) != 2 or entry[0] is None:
            raise ValueError(f'{place}: expected pairs of numbers, got {shortened(entry)}')
        for number in entry:
            _need_number(number, place)
