"""Train systems on a config and its data, and say which one helps.

    paco-seg compare CONFIG [CONFIG ...] [--systems ce gpaco ...] [--iters N | --hours H] ...
    paco-seg compare --suite demo-seg [--methods ce gpaco ...] [--seeds 3] [--force]

With a config of your own, every system gets the same number of iterations and seeds. Its settings
are searched, two of its own at most, and then the same learning rates for all. They are chosen on a
third split of the data; where there is none, part of the training set is set aside. The results are
those of the test, or validation, split: a table, a verdict by a stated rule, classes, curves,
confusions and predictions, in ``report.html`` (one file), ``report.md``, ``results.json`` and
``costs.json``. The folder also holds the config of every training. --dry-run says what would run
and how long it would take.

A system with settings is a system of its own: ``--systems gpaco@alpha=0.01 gpaco@alpha=0.05`` has a
row for each. What is given is not searched.

An interrupted comparison continues where it stopped, with the same command; a finished training is
never repeated unless what decides its result has changed, which is said. A training that fails does
not stop the others; the exit status is 1 then.

Systems may be divided among machines: ``--merge FOLDER`` takes the rows of the same comparison from
there and runs the others. Every part trains the baseline, which has to come out alike.

A suite compares on demo data, which come to ``data/``; its results go to ``work_dirs/``. Less than
all systems or another number of seeds is reported in ``subset-NAMES-N-seeds``, beside the report of
the whole suite and on the same trainings.

quickstart       three losses on digit scenes: minutes on two cores
quickstart-cls   four losses on long-tailed digits
demo-seg         nine systems of segmentation
demo-cls         fifteen systems of classification
pixel-options    each option of the pixel loss by itself
alpha-scale      alpha='auto' against fixed alphas on 10, 30 and 100 classes

The config of every system is in ``configs/`` below that folder. To add a registered system to a
suite, add one entry in paco_seg/comparison/suites/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paco_seg.cli.arguments import at_least
from paco_seg.comparison.lock import only_one
from paco_seg.comparison.report import run_suite, summary_table
from paco_seg.comparison.study import System
from paco_seg.comparison.suite import Suite
from paco_seg.comparison.suites import SUITES
from paco_seg.files import check_folder

SEEDS = 3
# Options of one way of calling that mean nothing in the other.
_OF_CONFIGS = (
    'systems',
    'iters',
    'hours',
    'search',
    'groups',
    'margin',
    'workers',
    'gpus',
    'jobs',
    'validations',
    'cfg_options',
    'merge',
    'dry_run',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help='file, or package::config')
    parser.add_argument('--suite', choices=SUITES, help='instead of a config: a demo')
    parser.add_argument('--systems', nargs='+', metavar='NAME', help='default: all of the task')
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='systems of a suite')
    parser.add_argument('--seeds', type=at_least(1), help='default: 3, or those of the suite')
    parser.add_argument('--iters', type=at_least(1), help='of a training; default: of the config')
    parser.add_argument(
        '--hours',
        type=float,
        help='instead: all trainings take about so long; several configs share them',
    )
    parser.add_argument(
        '--search',
        choices=['small', 'none'],
        help='small (default): up to four candidates per system',
    )
    parser.add_argument(
        '--groups',
        help='groups of classes: auto (default), rank, or images, pixels or shots, alone or with '
        'thresholds as in images:0.1,0.01',
    )
    parser.add_argument(
        '--margin', type=float, help='points within which a difference does not matter; default: 1'
    )
    parser.add_argument('--workers', type=at_least(1), help='trainings at a time; default: 1')
    parser.add_argument('--gpus', type=at_least(1), help='instead: so many, one GPU each')
    parser.add_argument('--jobs', type=at_least(1), help='processes that count classes; default: 1')
    parser.add_argument(
        '--validations',
        type=at_least(1),
        help='in a training: points of its curves; default: 8. A search validates at its end',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='settings over those of every CONFIG, such as train_dataloader.num_workers=2',
    )
    parser.add_argument(
        '--out', type=Path, help='folder of the results; default: work_dirs/compare/CONFIG-NAME'
    )
    parser.add_argument(
        '--merge',
        nargs='+',
        type=Path,
        metavar='FOLDER',
        help='of this comparison on other machines: their rows are taken, and not run here',
    )
    parser.add_argument('--force', action='store_true', help='repeat what is finished')
    parser.add_argument('--dry-run', action='store_true', default=None, help='say what would run')
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Run what is missing, print the table, and say where the report is."""
    if bool(args.configs) == bool(args.suite):
        args.usage_error('expected either a CONFIG or --suite')
    if args.suite:
        given = [name for name in _OF_CONFIGS if getattr(args, name) is not None]
        if given:
            option = given[0].replace('_', '-')
            args.usage_error(f'--{option}: expected with a CONFIG, got it with --suite')
        _run_suite(args)
        return
    if args.methods:
        args.usage_error('--methods: expected with --suite; --systems names those of a CONFIG')
    for first, second in (('iters', 'hours'), ('workers', 'gpus')):
        if getattr(args, first) is not None and getattr(args, second) is not None:
            args.usage_error(f'expected either --{first} or --{second}')
    for name in ('hours', 'margin'):
        value = getattr(args, name)
        if value is not None and not 0 < value < float('inf'):
            args.usage_error(f'--{name}: expected a number above 0, got {value}')
    if args.merge and len(args.configs) > 1:
        args.usage_error('--merge: expected with one CONFIG')
    _run_configs(args)


def _run_suite(args: argparse.Namespace) -> None:
    suite = SUITES[args.suite]
    out = args.out or Path(suite.folder)
    chosen = choose(suite, args.methods, args.seeds)
    reported = out / report_folder(suite, chosen)
    check_folder(out)
    with only_one(out):
        results = run_suite(chosen, out, force=args.force, reported=reported)
    table = summary_table(results, suite.table)
    print(f'\n{table}\n\nReport and pictures: {reported / "report.md"}')


def _run_configs(args: argparse.Namespace) -> None:
    # It loads PyTorch and MM, which the suites leave to their trainings.
    from paco_seg.comparison.user_comparison import Request, compare_config

    failed = []
    for config, out in zip(args.configs, output_folders(args.configs, args.out), strict=True):
        options = dict(
            groups=args.groups,
            margin=args.margin,
            workers=args.gpus or args.workers,
            gpus=args.gpus,
            jobs=args.jobs,
            seeds=args.seeds or SEEDS,
            options=config_options(args.cfg_options),
            validations=args.validations,
            merge=args.merge,
        )
        request = Request(
            config=config,
            out=out,
            systems=args.systems,
            iters=args.iters,
            hours=args.hours and args.hours / len(args.configs),
            search=args.search != 'none',
            force=args.force,
            dry_run=bool(args.dry_run),
            **{key: value for key, value in options.items() if value is not None},
        )
        failed += [(f'{out}/{cell}', reason) for cell, reason in compare_config(request)]
    if failed:
        print(f'\n{len(failed)} failed; the same command tries them again:', file=sys.stderr)
        for cell, reason in failed:
            print(f'  {cell}: {reason}', file=sys.stderr)
        sys.exit(1)


def config_options(words: Sequence[str] | None) -> dict[str, Any] | None:
    """Return settings by dotted key, read as ``--cfg-options`` of the other commands is.

    Args:
        words: ``KEY=VALUE``; None for none.
    """
    # It loads PyTorch and MM, see above.
    from paco_seg.engine.config_options import ConfigOptions

    if not words:
        return None
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return dict(parser.parse_args(['--cfg-options', *words]).cfg_options)


def output_folders(configs: Sequence[str], out: Path | None) -> list[Path]:
    """Return the folder of each config: ``out`` itself for a single one, below it for several.

    Raises:
        ValueError: two configs would share one.
    """
    stems = [Path(config.rsplit('::', 1)[-1]).stem for config in configs]
    if len(set(stems)) < len(stems):
        raise ValueError(
            f'CONFIG: expected configs of different names, got {", ".join(stems)}. Compare them '
            'one by one, with --out'
        )
    if out is not None and len(configs) == 1:
        return [out]
    return [(out or Path('work_dirs/compare')) / stem for stem in stems]


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
