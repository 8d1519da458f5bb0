"""What the reports of comparisons share: run what is missing, then tables and the machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from paco_seg.engine.experiment import (
    CellRunner,
    Comparison,
    mean_and_spread,
    text_table,
    versions,
    write_json,
)


def run_reported(
    out: Path,
    comparison: Comparison,
    write: Callable[[dict, Path], None],
    *,
    script: str,
    files: Sequence[str],
    preload: Sequence[str],
    force: bool = False,
    reported: Path | None = None,
    **extra: Any,
) -> dict:
    """Run what is missing of a comparison, and report if anything is new.

    Args:
        out: folder of the comparison, for the trainings.
        comparison: what to run.
        write: writes ``files`` from the results and the folder of the report.
        script: file whose change calls for a new report.
        files: names of the report without which it is incomplete.
        preload: modules to import before the first training.
        force: repeat finished trainings.
        reported: folder of the report; default ``out``.
        **extra: further entries of the results, JSON.

    Returns:
        The content of ``results.json``.
    """
    start = time.perf_counter()
    runner = CellRunner(out, total_cost=comparison.total_cost, force=force, preload=preload)
    methods = comparison.run(runner)
    content = json.dumps(methods, sort_keys=True) + Path(script).read_text()
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    out = reported or out
    if is_current(out, fingerprint, files):
        return json.loads((out / 'results.json').read_text())
    results = dict(
        fingerprint=fingerprint,
        machine=dict(processor=processor(), cores=os.cpu_count(), system=platform.system()),
        versions=versions(),
        seeds=list(comparison.seeds),
        **extra,
        methods=methods,
    )
    out.mkdir(parents=True, exist_ok=True)
    write(results, out)
    write_json(out / 'results.json', results)
    print(f'{len(runner.executed)} new trainings in {(time.perf_counter() - start) / 60:.1f} min')
    return results


def is_current(out: Path, fingerprint: str, files: Sequence[str]) -> bool:
    """Whether the report of exactly these results is there."""
    try:
        content = json.loads((out / 'results.json').read_text())
    except (OSError, ValueError):
        return False
    return content.get('fingerprint') == fingerprint and all(
        (out / name).exists() for name in files
    )


def summary_table(results: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """A row per method: mean over the seeds and the range, size, time and number of seeds.

    Args:
        results: of :func:`run_reported`.
        columns: title -> metric of the test.
    """
    rows = []
    for method in results['methods']:
        runs = method['runs']
        metrics = [run['test']['metrics'] for run in runs]
        rows.append(
            [
                method['title'],
                *(mean_and_spread([m.get(key) for m in metrics]) for key in columns.values()),
                f'{runs[0]["parameters"] / 1e6:.2f} M',
                f'{fmean(run["train_seconds"] for run in runs):.0f} s',
                str(len(runs)),
            ]
        )
    return text_table(['Method', *columns, 'Parameters', 'Training', 'Seeds'], rows)


def search_table(results: Mapping[str, Any], measure: str) -> str:
    """What was searched and what was chosen; ``measure`` names the value that chose."""
    rows = []
    for method in results['methods']:
        for entry in method['search']:
            settings = ', '.join(
                f'{k.rsplit(".", 1)[-1]} {v}' for k, v in entry['settings'].items()
            )
            chosen = 'chosen' if entry['settings'] == method['chosen'] else ''
            rows.append([method['title'], settings, f'{entry["value"]:.1f}', chosen])
    return text_table(['Method', 'Setting', measure, ''], rows)


def mean_and_deviation(values: Sequence[float | None], digits: int = 1) -> str:
    """``mean ± standard deviation`` (n - 1) over seeds; a dash where no value is known."""
    known = [value for value in values if value is not None]
    if not known:
        return '-'
    mean = f'{fmean(known):.{digits}f}'
    return f'{mean} ± {stdev(known):.{digits}f}' if len(known) > 1 else mean


def measured_on(results: Mapping[str, Any]) -> str:
    """The machine and the versions of a report, and the states of the code if several."""
    machine = results['machine']
    packages = ', '.join(f'{name} {version}' for name, version in results['versions'].items())
    text = f'Measured on {machine["processor"]}, {machine["cores"]} cores, with {packages}.'
    runs = [run for method in results['methods'] for run in method['runs']]
    commits = {run.get('commit') or 'an unknown commit' for run in runs}
    if len(commits) > 1:
        text += f' The runs come from several states of the code: {", ".join(sorted(commits))}.'
    return text


def per_class_of(results: Mapping[str, Any], value: str) -> dict[str, list]:
    """A value of every class in the tests, as :func:`.plots.draw_by_frequency` takes it."""
    return {
        method['title']: [run['test']['per_class'][value] for run in method['runs']]
        for method in results['methods']
    }


def curves_of(results: Mapping[str, Any], metric: str) -> tuple[dict, dict]:
    """Training loss and a validation metric, as :func:`.plots.draw_curves` takes them."""
    loss = {
        method['title']: [run['loss'] for run in method['runs']] for method in results['methods']
    }
    validation = {
        method['title']: [
            [[row['step'], row[metric]] for row in run['validation']] for run in method['runs']
        ]
        for method in results['methods']
    }
    return loss, validation


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.split(':', 1)[1].strip() for line in lines if 'model name' in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
