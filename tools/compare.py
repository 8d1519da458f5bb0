"""Trains the systems of a suite on the offline demo data with one budget and compares them.

    python tools/compare.py --suite demo-seg|demo-cls [--methods ce gpaco ...] [--seeds 3] [--force]

Every system that trains gets the same learning rates to choose from on a split of its own, the same
number of iterations (cRT and LWS on top of those of CE) and the same seeds; a system of
segmentation that adds a loss to cross entropy tries it at a tenth of its weight as well, one that
only changes the test tries its strengths on the same split. All other settings are those of its
config. Writes ``results.json``, ``report.md`` and pictures to ``work_dirs/compare/SUITE``: mean and
standard deviation over the seeds, overall and by class frequency, training time and peak memory. An
interrupted comparison continues where it stopped; a finished training is never repeated, whichever
systems are asked for. Less than all systems or another number of seeds than 3 is reported in
``SUITE/subset-NAMES-N-seeds``, beside the report of the whole suite and on the same trainings.

To add a system, write its config and add one entry to the list of its suite below.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from paco_seg.engine import report as reports
from paco_seg.engine.experiment import Comparison, Method, text_table

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 3
FILES = ('report.md', 'by_frequency.png', 'curves.png')


def search_options(iters: int) -> dict[str, int]:
    """Config options of a search training of that length."""
    return {
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': iters,
        'param_scheduler.1.end': iters,
        'default_hooks.checkpoint.interval': iters,
    }


def seg_system(
    name: str, title: str, weights: Mapping[str, Sequence[float]] | None = None
) -> Method:
    """A system of segmentation: ``configs/quickstart/NAME-fcn_...``.

    ``weights``: key below ``model.decode_head`` -> values to try, of the loss it adds.
    """
    config = f'configs/quickstart/{name}-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
    search = {'optim_wrapper.optimizer.lr': (0.003, 0.01)}
    search |= {f'model.decode_head.{key}': values for key, values in (weights or {}).items()}
    return Method(name, title, config, search)


def cls_system(name: str, title: str, **settings: Any) -> Method:
    """A system of classification: ``configs/quickstart/NAME_resnet8_...``."""
    config = f'configs/quickstart/{name}_resnet8_1xb32-300i_digits-lt-ir50.py'
    return Method(name, title, config, {'optim_wrapper.optimizer.lr': (0.03, 0.1)}, **settings)


def cls_test(name: str, title: str, source: str, search: Mapping[str, Sequence[float]]) -> Method:
    """A system of classification that tests the weights of another one."""
    system = cls_system(name, title, source=source, trains=False)
    searched = {'test_dataloader.dataset.ann_file': 'search.txt'}
    return replace(system, search=search, search_options=searched)


SEG_SYSTEMS = (
    seg_system('ce', 'CE'),
    seg_system('logit-adjusted-ce', 'CE + log prior'),
    seg_system('gpaco', 'CE + GPaCo', {'loss_contrast.loss_weight': (0.1, 1.0)}),
    seg_system(
        'gpaco-logit-adjusted-ce',
        'CE + log prior + GPaCo',
        {'loss_contrast.loss_weight': (0.1, 1.0)},
    ),
    seg_system(
        'region-rebalance',
        'CE + Region Rebalance',
        {'training_branches.region_rebalance.loss_weight': (0.1, 1.0)},
    ),
    seg_system(
        'region-rebalance-learnable',
        'CE + Region Rebalance, learnable',
        {'training_branches.region_rebalance.loss_weight': (0.1, 1.0)},
    ),
    seg_system(
        'region-bias',
        'CE + Region Rebalance, biased logits',
        {'region_bias.region_weight': (0.1, 1.0)},
    ),
    seg_system('ceco', 'CE + CeCo', {'training_branches.ceco.loss_weight': (0.04, 0.4)}),
    seg_system(
        'gpaco-region-rebalance',
        'CE + GPaCo + Region Rebalance',
        {'loss_contrast.loss_weight': (0.1, 1.0)},
    ),
)

CLS_SYSTEMS = (
    cls_system('ce', 'CE'),
    cls_test(
        'logit-adjusted-ce',
        'CE, log prior at test',
        'ce',
        {'model.head.tau': (0.5, 1.0, 1.5, 2.0)},
    ),
    cls_test(
        'tau-norm',
        'CE, tau-normalised',
        'ce',
        {'model.head.tau': tuple(step / 4 for step in range(9))},
    ),
    cls_system('crt', 'cRT', source='ce', source_key='model.backbone.init_cfg.checkpoint'),
    cls_system('lws', 'LWS', source='ce'),
    cls_system('balanced-softmax', 'Balanced Softmax'),
    cls_system(
        'ldam-drw',
        'LDAM-DRW',
        # the last fifth of the epochs, as in the config
        search_options={'model.head.loss.drw_start_epoch': 9},
    ),
    cls_system('reslt', 'ResLT'),
    cls_system('supcon-joint', 'CE + SupCon'),
    cls_system('hybrid-sc', 'Hybrid-SC'),
    cls_system('hybrid-psc', 'Hybrid-PSC'),
    cls_system('paco', 'PaCo'),
    cls_system('gpaco', 'GPaCo'),
)


SEG_DIFFERENCES = """\
- Systems that add a loss have four candidates (two rates, two weights), the others two.
- Candidates are ranked after 200 of the 1000 iterations, at which a loss that pays late looks
  worse than it is."""
CLS_DIFFERENCES = """\
- cRT and LWS train 300 further iterations, on top of the 300 of CE; their first stage had its rate
  chosen by itself.
- Images per step, all from batches of 32: two views of each, 64, for most systems; PaCo passes one
  view through each of its two networks; Hybrid-SC has a class-balanced image beside two views, 96;
  Hybrid-PSC one beside one view, 64; cRT and LWS have one view of class-balanced images, 32.
- tau-normalisation tries nine strengths and the log prior four, without a training; all others try
  two rates, ranked after 100 of the 300 iterations."""


@dataclass(frozen=True)
class Suite:
    """One data set, one budget and the systems on it.

    Args:
        comparison: systems, search, and files that identify the data; seeds come from the command.
        columns: title -> metric of the test.
        value: what is known of each class in the test.
        maker: tool that writes the data, and its folder.
        frequencies: reads the training frequency of each class.
        frequency_name: what that is.
        preload: modules to import before the first training.
        differences: what the budgets do not level, Markdown.
    """

    comparison: Comparison
    columns: Mapping[str, str]
    value: str
    maker: tuple[str, Path]
    frequencies: Callable[[], Sequence[float]]
    frequency_name: str
    preload: tuple[str, ...]
    differences: str


SCENES, DIGITS = Path('data/digit_scenes'), Path('data/digits_lt')

SUITES = {
    'demo-seg': Suite(
        comparison=Comparison(
            methods=SEG_SYSTEMS,
            seeds=(),
            metric='mIoU',
            search_options=search_options(200),
            search_cost=200 / 1000,
            data_files=(SCENES / 'statistics.json', SCENES / 'class_frequency.json'),
        ),
        columns={
            'mIoU': 'mIoU',
            'head': 'mIoU_head',
            'common': 'mIoU_common',
            'tail': 'mIoU_tail',
        },
        value='IoU',
        maker=('tools/make_demo_data.py', SCENES),
        frequencies=lambda: json.loads((SCENES / 'class_frequency.json').read_text())['pixels'],
        frequency_name='training pixels',
        preload=('mmengine.runner', 'paco_seg.engine.plots', 'paco_seg.seg'),
        differences=SEG_DIFFERENCES,
    ),
    'demo-cls': Suite(
        comparison=Comparison(
            methods=CLS_SYSTEMS,
            seeds=(),
            metric='long-tail/top1',
            search_options=search_options(100),
            search_cost=100 / 300,
            data_files=(DIGITS / 'statistics.json', DIGITS / 'training.txt'),
        ),
        columns={
            'top-1': 'long-tail/top1',
            'many': 'long-tail/many',
            'medium': 'long-tail/medium',
            'few': 'long-tail/few',
        },
        value='accuracy',
        maker=('tools/make_demo_digits.py', DIGITS),
        frequencies=lambda: json.loads((DIGITS / 'class_counts.json').read_text()),
        frequency_name='training images',
        preload=('mmengine.runner', 'paco_seg.engine.plots', 'paco_seg.cls'),
        differences=CLS_DIFFERENCES,
    ),
}


def choose(systems: Sequence[Method], names: Sequence[str] | None) -> list[Method]:
    """The named systems in the order of the list, with those whose weights they start from.

    Raises:
        ValueError: a name is not in the list.
    """
    known = {method.name: method for method in systems}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(
            f'--methods: expected some of {", ".join(known)}, got {", ".join(unknown)}. Correct '
            'the names or leave the option out for all.'
        )
    wanted = set(names or known)
    wanted |= {known[name].source for name in wanted if known[name].source is not None}
    return [method for method in systems if method.name in wanted]


def summary_table(results: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """A row per system: mean and standard deviation over the seeds."""
    rows = []
    for method in results['methods']:
        runs = method['runs']
        metrics = [run['test']['metrics'] for run in runs]
        memory = [run['peak_memory_mib'] for run in runs]
        rows.append(
            [
                method['title'],
                *(
                    reports.mean_and_deviation([values.get(key) for values in metrics])
                    for key in columns.values()
                ),
                f'{fmean(run["train_seconds"] for run in runs):.0f} s',
                '-' if None in memory else f'{max(memory):.0f} MiB',
                f'{runs[0]["parameters"] / 1e6:.3f} M',
            ]
        )
    return text_table(['System', *columns, 'Training', 'Peak memory', 'Parameters'], rows)


def report(name: str, suite: Suite, results: Mapping[str, Any]) -> str:
    """``report.md``."""
    seeds = ', '.join(map(str, results['seeds']))
    comparison = suite.comparison
    iters = comparison.search_options['train_cfg.max_iters']
    images = results['methods'][0]['runs'][0]['test']['num_samples']
    return f"""\
# Comparison {name}

Mean and standard deviation over the seeds {seeds}; percent, on {images} images of the `validation`
split, which chose nothing.

{summary_table(results, suite.columns)}

Training is the time of the iterations, with those of the system that the weights start from; peak
memory the resident memory of the process, PyTorch included (at its largest over the seeds and
these trainings);
parameters are those in training, most of them of the network that all systems share.

{reports.measured_on(results)}

![By class frequency](by_frequency.png)

![Loss and {comparison.metric} during training](curves.png)

## What was searched

Short trainings of {iters} iterations with seed {results['seeds'][0]}, judged on the `search` split;
a system that does not train tests the weights of the one it starts from. All other settings are
those of the configs.

{reports.search_table(results, comparison.metric)}

## What differs all the same

{suite.differences}

Differences smaller than the deviation mean nothing, and a few seeds show it only roughly. Small
networks from scratch on digits neither support nor refute published figures.
"""


def draw_pictures(suite: Suite, results: Mapping[str, Any], out: Path) -> None:
    """All pictures of the report."""
    from paco_seg.engine import plots

    methods = results['methods']
    plots.draw_by_frequency(
        out / 'by_frequency.png',
        classes=methods[0]['runs'][0]['test']['per_class']['class'],
        shares=results['frequencies'],
        values=reports.per_class_of(results, suite.value),
        ylabel=f'{suite.value} (%)',
        xlabel=suite.frequency_name,
    )
    metric = suite.comparison.metric
    trains = {method.name for method in suite.comparison.methods if method.trains}
    trained = {'methods': [method for method in methods if method['name'] in trains]}
    loss, validation = reports.curves_of(trained, metric)
    plots.draw_curves(
        out / 'curves.png',
        {'training loss (sum of all terms)': loss, f'{metric} on the search split (%)': validation},
    )


def report_folder(out: Path, suite: Suite, methods: Sequence[Method], seeds: int) -> Path:
    """Where the report of these systems goes: ``out`` for the whole suite, else a subfolder."""
    names = [method.name for method in methods]
    everything = [method.name for method in suite.comparison.methods]
    if names == everything and seeds == SEEDS:
        return out
    chosen = 'all' if names == everything else '-'.join(names)
    return out / f'subset-{chosen}-{seeds}-seeds'


def run(
    name: str, suite: Suite, out: Path, force: bool = False, reported: Path | None = None
) -> dict:
    """Run what is missing and write the report; returns the content of ``results.json``.

    ``out`` holds the trainings, ``reported`` the report; the same folder by default.
    """
    tool, data = suite.maker
    if not (data / 'statistics.json').exists():
        subprocess.run([sys.executable, str(ROOT / tool), '--out', str(data)], check=True)

    def write(results: dict, out: Path) -> None:
        draw_pictures(suite, results, out)
        (out / 'report.md').write_text(report(name, suite, results))

    return reports.run_reported(
        out,
        suite.comparison,
        write,
        script=__file__,
        files=FILES,
        preload=suite.preload,
        force=force,
        reported=reported,
        suite=name,
        frequencies=list(suite.frequencies()),
    )


def main(argv: list[str] | None = None) -> None:
    """Run from the root of the repository, whose paths the configs use."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--suite', choices=SUITES, required=True)
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='some systems; default all')
    parser.add_argument('--seeds', type=int, default=SEEDS, help='number of seeds')
    parser.add_argument('--out', type=Path, help='default: work_dirs/compare/SUITE')
    parser.add_argument('--force', action='store_true', help='repeat what is finished')
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f'--seeds: expected at least 1, got {args.seeds}.')
    suite = SUITES[args.suite]
    try:
        methods = choose(suite.comparison.methods, args.methods)
    except ValueError as error:
        parser.error(str(error))
    comparison = replace(suite.comparison, methods=methods, seeds=tuple(range(args.seeds)))
    out = Path(
        os.path.relpath((args.out or ROOT / 'work_dirs/compare' / args.suite).resolve(), ROOT)
    )
    os.chdir(ROOT)
    reported = report_folder(out, suite, methods, args.seeds)
    chosen = replace(suite, comparison=comparison)
    results = run(args.suite, chosen, out, force=args.force, reported=reported)
    table = summary_table(results, suite.columns)
    print(f'\n{table}\n\nReport and pictures: {reported / "report.md"}')


if __name__ == '__main__':
    main()
