"""Train the systems of a suite and compare them.

    paco-seg compare --suite demo-seg [--methods ce gpaco ...] [--seeds 3] [--force]

Every system that trains gets the same learning rates to choose from on a split of its own, the same
number of iterations (cRT and LWS on top of those of CE) and the same seeds; a system of
segmentation that adds a loss to cross entropy tries it at a tenth of its weight as well, one that
only changes the test tries its strengths on the same split. All other settings are those of its
config. Writes ``results.json``, ``report.md`` and pictures: mean and spread over the seeds, overall
and by class frequency, with the time of training. Demo data come to ``data/`` and results to
``work_dirs/`` of the current folder.

An interrupted comparison continues where it stopped; a finished training is never repeated,
whichever systems are asked for. Less than all systems or another number of seeds is reported in
``subset-NAMES-N-seeds``, beside the report of the whole suite and on the same trainings.

quickstart       three losses on digit scenes: minutes on two cores
quickstart-cls   four losses on long-tailed digits
demo-seg         all systems of segmentation
demo-cls         all systems of classification
pixel-options    each option of the pixel loss by itself
alpha-scale      alpha='auto' against fixed alphas on 10, 30 and 100 classes

To add a system, write its config and add one entry to its suite in paco_seg/comparison/suites/.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from paco_seg.cli.arguments import at_least
from paco_seg.comparison.report import run_suite, summary_table
from paco_seg.comparison.study import System
from paco_seg.comparison.suite import Suite
from paco_seg.comparison.suites import SUITES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('--suite', choices=SUITES, required=True)
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='some systems; default all')
    parser.add_argument('--seeds', type=at_least(1), help='number of seeds; default: of the suite')
    parser.add_argument('--out', type=Path, help='folder of the results; default: of the suite')
    parser.add_argument('--force', action='store_true', help='repeat what is finished')


def run(args: argparse.Namespace) -> None:
    """Run what is missing, print the table, and say where the report is."""
    suite = SUITES[args.suite]
    out = args.out or Path(suite.folder)
    chosen = choose(suite, args.methods, args.seeds)
    reported = out / report_folder(suite, chosen)
    results = run_suite(chosen, out, force=args.force, reported=reported)
    table = summary_table(results, suite.table)
    print(f'\n{table}\n\nReport and pictures: {reported / "report.md"}')


def choose(suite: Suite, names: Sequence[str] | None, seeds: int | None) -> Suite:
    """Return the part of a suite that is asked for.

    Args:
        suite: all of it.
        names: of systems, or None for all; those whose weights they start from come along.
        seeds: number of seeds, or None for those of the suite.

    Raises:
        ValueError: the suite has no system of a name.
    """
    study = replace(
        suite.study,
        systems=tuple(choose_systems(suite.study.systems, names)),
        seeds=suite.study.seeds if seeds is None else tuple(range(seeds)),
    )
    return replace(suite, study=study)


def choose_systems(systems: Sequence[System], names: Sequence[str] | None) -> list[System]:
    """Return the named systems in the order of the list, with those whose weights they need.

    Raises:
        ValueError: a name is not in the list.
    """
    known = {system.name: system for system in systems}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(
            f'--methods: expected some of {", ".join(known)}, got {", ".join(unknown)}. Correct '
            'the names or leave the option out for all'
        )
    wanted = set(names or known)
    wanted |= {source for name in wanted if (source := known[name].source) is not None}
    return [system for system in systems if system.name in wanted]


def report_folder(suite: Suite, chosen: Suite) -> Path:
    """Return where the report of a part of a suite goes, below the folder of the suite."""
    names = [system.name for system in chosen.study.systems]
    everything = [system.name for system in suite.study.systems]
    seeds = len(chosen.study.seeds)
    if names == everything and seeds == len(suite.study.seeds):
        return Path()
    return Path(f'subset-{"all" if names == everything else "-".join(names)}-{seeds}-seeds')
