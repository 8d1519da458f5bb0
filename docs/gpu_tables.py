"""Tables of what ``make gpu`` measured, for docs/gpu.md, benchmarks/README.md and README.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / 'benchmarks' / 'results'
METHODS = {
    'fused bf16x3': 'fused, bf16x3',
    'fused tf32': 'fused, tf32',
    'fused float16': 'fused, float16',
    'fused bfloat16': 'fused, bfloat16',
    'streaming': 'streaming, float32',
    'streaming tf32': 'streaming, tf32',
    'dense': 'dense, float32',
    'dense tf32': 'dense, tf32',
    'published': 'published formulation, float32',
}
# G, N, M of the table for readers in a hurry.
MAIN = [4, 8192, 0]


def measured() -> dict[str, Any]:
    """Return the committed results."""
    found: dict[str, Any] = json.loads((RESULTS / 'gpu.json').read_text())
    return found


def where(results: dict[str, Any], *sections: str) -> str:
    """Say on what and when."""
    environment = results['environment']
    dates = ' and '.join(sorted({results['dates'][section] for section in sections}))
    return f'Measured on {environment["device"]}, torch {environment["torch"]}, {dates}'


def errors_table() -> str:
    """Return errors against float64, repeatability and waits of each implementation."""
    results = measured()
    lines = [
        '| implementation | loss | gradient by rows | within the bound | two runs equal | waits |',
        '|---' * 6 + '|',
    ]
    for method, found in results['errors'].items():
        equal = 'yes' if results['repeatable'][method] else 'no'
        within = 'yes' if found['within'] else 'no'
        lines.append(
            f'| {METHODS[method]} | {found["loss"]:.1e} | {found["embeddings"]:.1e} | {within} '
            f'| {equal} | {results["synchronisations"][method]} |'
        )
    measured_on = where(results, 'errors', 'repeatable', 'synchronisations')
    return '\n'.join(lines) + (
        '\n\nLargest error over the largest entry, two sets of 1500 rows of 128 channels, 750 '
        f'keys, T = 0.07, one row in seven ignored. {measured_on}.'
    )


def _timed(results: dict[str, Any], section: str) -> dict[tuple[int, ...], dict[str, Any]]:
    """Return size -> method -> record of what ran."""
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for record in results[section]:
        if 'both' in record:
            found.setdefault(tuple(record['size']), {})[record['method']] = record
    return found


def short_table() -> str:
    """Return the implementations that a reader of the front page chooses from."""
    return loss_table(['fused bf16x3', 'fused float16', 'streaming', 'dense', 'published'])


def loss_table(methods: Sequence[str] = tuple(METHODS)) -> str:
    """Return time and memory of implementations at the size of segmentation."""
    results = measured()
    records = {
        method: record
        for method, record in _timed(results, 'speed')[tuple(MAIN)].items()
        if method in methods
    }
    slowest = records['published']
    lines = [
        '| implementation | forward | backward | both | times faster | from idle | memory |',
        '|---' * 7 + '|',
    ]
    for method, record in records.items():
        both = record['both']['median_ms']
        lines.append(
            f'| {METHODS[method]} | {record["forward"]["median_ms"]:.2f} ms '
            f'| {record["backward"]["median_ms"]:.2f} ms | {both:.2f} ms '
            f'| {slowest["both"]["median_ms"] / both:.1f} '
            f'| {record["standstill"]["median_ms"]:.2f} ms | {record["peak_mib"]:.0f} MiB |'
        )
    return '\n'.join(lines) + (
        '\n\nFour images of 8192 pixels, 128 channels, 150 classes; median. Times of the device '
        'while the host runs ahead, as it does behind a backbone; "from idle" starts with a device '
        'that has nothing to do and so contains the launches. Memory above the inputs, gradients '
        'included. '
        f'{where(results, "speed")}.'
    )


def sizes_table() -> str:
    """Return the time at every size."""
    results = measured()
    chosen = ['fused bf16x3', 'fused float16', 'streaming', 'dense', 'published']
    lines = [
        '| G x N x M | ' + ' | '.join(METHODS[method] for method in chosen) + ' |',
        '|---' * (1 + len(chosen)) + '|',
    ]
    for size, records in (_timed(results, 'speed') | _timed(results, 'crossover')).items():
        cells = [
            f'{records[method]["both"]["median_ms"]:.2f} '
            f'({records[method]["standstill"]["median_ms"]:.2f})'
            if method in records
            else ''
            for method in chosen
        ]
        lines.append(f'| {" x ".join(map(str, size))} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + (
        '\n\nMilliseconds of forward and backward; in brackets from idle. G sets of N rows, M '
        f'keys. {where(results, "speed", "crossover")}.'
    )


def targets_table() -> str:
    """Return what the kernels were held to, and whether it is met."""
    results = measured()
    lines = ['| target on a Hopper GPU | wanted | measured | |', '|---' * 4 + '|']
    for target in results['targets']:
        verdict = {True: 'met', False: 'missed', None: ''}[target['met']]
        found = 'not measured' if target['measured'] is None else f'{target["measured"]:.3g}'
        lines.append(f'| {target["name"]} | {target["wanted"]} | {found} | {verdict} |')
    return '\n'.join(lines) + f'\n\n{where(results, "speed", "segmentation steps")}.'


def checks_table() -> str:
    """Return the outcome of the tests on the device."""
    results = measured()
    lines = ['| tests on the device | outcome |', '|---|---|']
    for name, found in results['tests'].items():
        lines.append(f'| {name} | {"; ".join(found["said"]).replace("|", ",")} |')
    suite = results['suite']
    lines.append(
        f'| the suite, cut off after {suite["seconds"]:.0f} s with {suite["processes"]} processes '
        f'| {suite["passed"]} passed, {suite["failed"]} failed, {suite["errors"]} errors, '
        f'{suite["skipped"]} skipped |'
    )
    return '\n'.join(lines) + f'\n\n{where(results, "tests", "suite")}.'


def digits_table() -> str:
    """Return the short trainings of a ResNet-32."""
    results = measured()
    lines = [
        '| ResNet-32, 300 steps | a step | top-1 | of the five rarest classes |',
        '|---' * 4 + '|',
    ]
    for name, found in results['classification training'].items():
        lines.append(
            f'| {name} | {found["median_ms"]:.1f} ms | {found["top1"]:.1f} '
            f'| {found["top1_of_the_five_rarest"]:.1f} |'
        )
    return '\n'.join(lines) + (
        '\n\nHandwritten digits of scikit-learn at 32 x 32, 100 to 2 images a class, one seed: '
        f'that it trains, not which loss is better. {where(results, "classification training")}.'
    )


def tiles_table() -> str:
    """Return the fastest tile of each kernel beside the one that every chip can run."""
    from paco_seg.core import fused

    results = json.loads((RESULTS / 'tiles.json').read_text())
    times = {
        (record['precision'], record['kernel'], tuple(record['tile'])): record['ms']
        for record in results['tiles']
        if 'ms' in record
    }
    lines = [
        '| products | kernel | tile taken on an H100 | ms | tile of every chip | ms |',
        '|---' * 6 + '|',
    ]
    for precision, kernels in fused.HOPPER_TILES.items():
        for kernel, (tile, _) in kernels.items():
            default = fused.TILES[precision][kernel][0]
            cells = [
                f'{tuple(one)} | {times[precision, kernel, tuple(one)]:.2f}'
                for one in (tile, default)
            ]
            lines.append(f'| {precision} | {kernel} | {" | ".join(cells)} |')
    environment = results['environment']
    return '\n'.join(lines) + (
        '\n\nRows, columns, warps and stages. Forward and rows: 4 x 8192 rows; keys: 2 x 8192 '
        f'rows, 4096 keys. Measured on {environment["device"]}, torch {environment["torch"]}.'
    )
