"""What each option of the pixel loss beyond the paper does on the demo data.

    python benchmarks/ablate_pixel_options.py

Runs the suite ``pixel-options`` of ``paco-seg compare``, writes the metrics of all runs to
``results/ablation_pixel_options.json`` and prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import RESULTS

from paco_seg.comparison.report import run_suite, summary_table
from paco_seg.comparison.suites.pixel_options import ITERS, PIXEL_OPTIONS
from paco_seg.files import write_json


def condensed(results: dict[str, Any]) -> dict[str, Any]:
    """Settings and the metrics of the table, by title."""
    settings = {system.title: dict(system.options) for system in PIXEL_OPTIONS.study.systems}
    rows = {}
    for method in results['methods']:
        found = [run['test']['metrics'] for run in method['runs']]
        metrics = [{k: m.get(k) for k in PIXEL_OPTIONS.table.columns.values()} for m in found]
        rows[method['title']] = dict(settings=settings[method['title']], metrics=metrics)
    seeds, versions = results['seeds'], results['versions']
    return dict(iterations=ITERS, seeds=seeds, versions=versions, rows=rows)


def main() -> None:
    """Run what is missing, in the current folder."""
    suite = PIXEL_OPTIONS
    results = run_suite(suite, Path(suite.folder))
    write_json(RESULTS / 'ablation_pixel_options.json', condensed(results))
    print(summary_table(results, suite.table))


if __name__ == '__main__':
    main()
