"""The figures in README.md are those of the committed JSON files.

``python tests/test_readme.py`` writes the tables into README.md after new measurements.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / 'docs' / 'quickstart' / 'results.json'
LOSS = ROOT / 'benchmarks' / 'results' / 'loss_cpu.json'
STEP = ROOT / 'benchmarks' / 'results' / 'train_step_cpu.json'
TITLES = {
    'streaming': 'paco_seg (streaming, default)',
    'dense': 'paco_seg (dense, the equation)',
    'authors': 'published formulation, written by us',
    'pml-supcon': 'SupConLoss of pytorch-metric-learning (no centers)',
}


def quickstart_table() -> str:
    """The table that ``make quickstart`` printed, and on what."""
    results = json.loads(QUICKSTART.read_text())
    table = runpy.run_path(str(ROOT / 'tools' / 'quickstart.py'))['summary_table'](results)
    machine, seeds = results['machine'], len(results['seeds'])
    return (
        f'{table}\n\nPercent on the validation split: mean of {seeds} seeds and the range. '
        f'Measured on {machine["processor"]}, {machine["cores"]} cores, '
        f'torch {results["versions"]["torch"]}.'
    )


def performance_table() -> str:
    """Time and memory of the loss by formulation and number of pixels."""
    results = json.loads(LOSS.read_text())
    cases = [case for case in results['cases'] if case['sets'] == 1 and case['dtype'] == 'float32']
    sizes = (8192, 32768, 131072)
    lines = [
        '| forward + backward, D = 128, C = 150 | '
        + ' | '.join(f'N = {size}' for size in sizes)
        + ' |',
        '|---' * (len(sizes) + 1) + '|',
    ]
    for method, title in TITLES.items():
        cells = []
        for size in sizes:
            found = [c for c in cases if c['method'] == method and c['anchors'] == size]
            if found and 'both' in found[0]:
                seconds = found[0]['both']['median_ms'] / 1000
                cells.append(f'{seconds:.2f} s, {found[0]["peak_mib"]:.0f} MiB')
            else:
                cells.append('not run: time or memory')
        lines.append(f'| {title} | {" | ".join(cells)} |')
    environment = results['environment']
    return '\n'.join(lines) + (
        f'\n\nPeak memory over the inputs. Measured on {environment["device"]}, torch '
        f'{environment["torch"]}, float32. No GPU figures yet.'
    )


SECTIONS = {'quickstart:table': quickstart_table, 'performance:table': performance_table}


def section(text: str, name: str) -> tuple[int, int]:
    """Where the text between the two markers of a section starts and ends."""
    start = text.index(f'<!-- {name} -->\n') + len(f'<!-- {name} -->\n')
    return start, text.index(f'<!-- /{name} -->', start)


@pytest.mark.parametrize('name', SECTIONS)
def test_readme_states_the_committed_figures(name):
    text = (ROOT / 'README.md').read_text()
    start, end = section(text, name)
    assert text[start:end].strip() == SECTIONS[name]().strip()


def test_linked_files_exist():
    text = (ROOT / 'README.md').read_text()
    targets = [part.split(')')[0] for part in text.split('](')[1:]]
    local = [target for target in targets if '://' not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


if __name__ == '__main__':
    readme = ROOT / 'README.md'
    content = readme.read_text()
    for key, render in SECTIONS.items():
        first, last = section(content, key)
        content = f'{content[:first]}\n{render()}\n\n{content[last:]}'
    readme.write_text(content)
