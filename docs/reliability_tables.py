"""Tables of what ``make stress`` tried, for docs/reliability.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / 'benchmarks' / 'results' / 'stress.json'
TITLES = {
    'damage': 'Damaged files',
    'untrusted': 'Files of strangers',
    'fuzz': 'Settings and label maps',
    'numerics': 'Half precision',
    'full_disk': 'Full disk',
    'kills': 'Kill and resume',
    'ranks': 'Several processes',
    'comparison': 'Comparison killed',
    'soak': 'Long runs',
}


def tried() -> dict[str, dict[str, Any]]:
    """Return the committed results by area, in the order of the page."""
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text())
    return {name: found[name] for name in TITLES if name in found}


def promises_table() -> str:
    """Return what is promised, how often it was tried, and how often it did not hold."""
    lines = ['| | promise | tried | lost |', '|---' * 4 + '|']
    results = tried()
    for name, title in TITLES.items():
        if name not in results:
            lines.append(f'| {title} | not run | | |')
            continue
        area = results[name]
        counts = '; '.join(f'{number} {kind}' for kind, number in area['counts'].items())
        lines.append(f'| {title} | {area["promise"]} | {counts} | {len(area["losses"])} |')
    return '\n'.join(lines)


def runs_table() -> str:
    """Return when each area ran, in which form, on what and of which commit."""
    lines = ['| | form | seed | seconds | date | commit | machine |', '|---' * 7 + '|']
    for name, area in tried().items():
        machine = f'{area["machine"]}, Python {area["python"]}, torch {area["torch"]}'
        cells = (area['form'], area['seed'], area['seconds'], area['date'], area['commit'], machine)
        lines.append(f'| {TITLES[name]} | ' + ' | '.join(map(str, cells)) + ' |')
    return '\n'.join(lines)


def figures_table() -> str:
    """Return what was measured on the way."""
    lines = ['| | figure | |', '|---' * 3 + '|']
    for name, area in tried().items():
        lines += [f'| {TITLES[name]} | {key} | {value} |' for key, value in area['figures'].items()]
    return '\n'.join(lines)


def losses_list() -> str:
    """Return every trial that did not hold."""
    lost = [(TITLES[name], loss) for name, area in tried().items() for loss in area['losses']]
    return '\n'.join(f'- {title}: `{loss[:300]}`' for title, loss in lost) or 'None.'
