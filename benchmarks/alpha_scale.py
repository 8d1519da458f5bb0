"""Does alpha='auto' transfer between data sets where a fixed alpha does not?

Runs the suite ``alpha-scale`` of ``paco-seg compare``: a small network with GPaCo on three
long-tailed sets made from the handwritten digits of scikit-learn, with a sweep of fixed alphas,
``alpha='auto'``, cross entropy, and Balanced Softmax. All runs are written to
``results/alpha_scale.json``; an interrupted call continues where it stopped.

    python benchmarks/alpha_scale.py [--seeds 3] [--steps 1200] [--workers 2] [--data NAME ...]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from common import environment, write_results

from paco_seg.comparison.report import run_suite, summary_table
from paco_seg.comparison.suites.alpha_scale import ALPHA_SCALE, DATA, STEPS


def main() -> None:
    """Run what is missing, in the current folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=STEPS, help='of one training')
    parser.add_argument('--workers', type=int, default=2, help='trainings at a time, a core each')
    parser.add_argument('--data', nargs='+', default=list(DATA), choices=DATA)
    args = parser.parse_args()
    systems = tuple(
        replace(system, options={**system.options, 'steps': args.steps})
        for system in ALPHA_SCALE.study.systems
        if system.options['data'] in args.data
    )
    study = replace(ALPHA_SCALE.study, systems=systems, seeds=tuple(range(args.seeds)))
    suite = replace(ALPHA_SCALE, study=replace(study, workers=args.workers))
    results = run_suite(suite, Path(suite.folder))
    runs = [run['test']['run'] for method in results['methods'] for run in method['runs']]
    write_results('alpha_scale', dict(environment=environment('cpu'), runs=runs))
    print(summary_table(results, suite.table))


if __name__ == '__main__':
    main()
