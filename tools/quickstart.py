"""Trains a small model with three losses on the demo data and reports what comes out.

    python tools/quickstart.py [--force]

Cross entropy, cross entropy with the log pixel prior, and cross entropy with GPaCo get the same
learning-rate search on a split of its own, the same iterations and the same seeds. Writes
``results.json``, ``report.md`` and pictures to ``work_dirs/quickstart``. An interrupted run
continues where it stopped; finished work is not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

from paco_seg.engine.experiment import (
    CellRunner,
    Comparison,
    Method,
    mean_and_spread,
    text_table,
    versions,
    write_json,
)

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/quickstart/{}-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
DATA = Path('data/digit_scenes')
LEARNING_RATES = (0.003, 0.01)
SEARCH_ITERS = 200
SEEDS = (0, 1)
NUM_SCENES = 6
PICTURES = ('predictions.png', 'iou_by_frequency.png', 'curves.png')

METHODS = (
    Method('ce', 'CE', CONFIG.format('ce'), {'optim_wrapper.optimizer.lr': LEARNING_RATES}),
    Method(
        'logit_adjusted_ce',
        'CE + log prior',
        CONFIG.format('logit-adjusted-ce'),
        {'optim_wrapper.optimizer.lr': LEARNING_RATES},
    ),
    Method(
        'gpaco',
        'CE + GPaCo',
        CONFIG.format('gpaco'),
        {
            'optim_wrapper.optimizer.lr': LEARNING_RATES,
            'model.decode_head.loss_contrast.loss_weight': (0.1, 1.0),
        },
    ),
)

COMPARISON = Comparison(
    methods=METHODS,
    seeds=SEEDS,
    metric='mIoU',
    search_options={
        'train_cfg.max_iters': SEARCH_ITERS,
        'train_cfg.val_interval': SEARCH_ITERS,
        'param_scheduler.1.end': SEARCH_ITERS,
        'default_hooks.checkpoint.interval': SEARCH_ITERS,
    },
    search_cost=SEARCH_ITERS / 1000,
    # beside the metrics, the label maps for the pictures
    test_options={'test_evaluator.output_dir': '{dir}/predictions'},
    data_files=(DATA / 'statistics.json', DATA / 'class_frequency.json'),
)

COLUMNS = {
    'aAcc': 'aAcc',
    'mIoU': 'mIoU',
    'mIoU head': 'mIoU_head',
    'mIoU common': 'mIoU_common',
    'mIoU tail': 'mIoU_tail',
}

LIMITS = """\
## What this does and does not show

- Every method had the same iterations, seeds and learning rates to choose from; GPaCo also chose
  its loss weight and thereby had more tries. The search trainings are short, so a setting that
  pays off late is not found. Settings were chosen on the `search` split; the numbers above are of
  the `validation` split, which chose nothing.
- Scenes, model and iterations were set by looking at the cross-entropy baseline alone.
- A difference smaller than the spread over seeds means nothing, and so few seeds show the spread
  only roughly.
- A step of one method takes longer than a step of another; the time column shows it, and at equal
  time the slower one would have had fewer iterations.
- The papers train pretrained backbones of 10 to 100 times the size, sample 8192 pixels per image
  and take 100 times the iterations. This demo neither supports nor refutes their figures.
"""


def make_data(force: bool) -> None:
    """Write the demo data unless they are there; a process of its own, as a user would."""
    command = [sys.executable, str(ROOT / 'tools' / 'make_demo_data.py'), '--out', str(DATA)]
    if force or not (DATA / 'statistics.json').exists():
        print('Composing the demo data ...', flush=True)
        subprocess.run(command + ['--force'] * force, check=True)


def summary_table(results: dict) -> str:
    """The table: a row per method, mean over the seeds and the range."""
    rows = []
    for method in results['methods']:
        runs = method['runs']
        metrics = [run['test']['metrics'] for run in runs]
        rows.append(
            [
                method['title'],
                *(mean_and_spread([m.get(key) for m in metrics]) for key in COLUMNS.values()),
                f'{runs[0]["parameters"] / 1e6:.2f} M',
                f'{fmean(run["train_seconds"] for run in runs):.0f} s',
                str(len(runs)),
            ]
        )
    return text_table(['Method', *COLUMNS, 'Parameters', 'Training', 'Seeds'], rows)


def search_table(results: dict) -> str:
    """What was searched and what was chosen."""
    rows = []
    for method in results['methods']:
        for entry in method['search']:
            settings = ', '.join(
                f'{k.rsplit(".", 1)[-1]} {v}' for k, v in entry['settings'].items()
            )
            chosen = 'chosen' if entry['settings'] == method['chosen'] else ''
            rows.append([method['title'], settings, f'{entry["value"]:.1f}', chosen])
    return text_table(['Method', 'Setting', f'mIoU after {SEARCH_ITERS} iterations', ''], rows)


def report(results: dict) -> str:
    """``report.md``."""
    machine = results['machine']
    packages = ', '.join(f'{name} {version}' for name, version in results['versions'].items())
    test = results['methods'][0]['runs'][0]['test']
    scenes, per_class = test['num_samples'], test['per_class']
    groups = '\n'.join(
        f'- {group}: '
        + ', '.join(
            name
            for name, own in zip(per_class['class'], per_class['group'], strict=True)
            if own == group
        )
        for group in ('head', 'common', 'tail')
    )
    return f"""\
# Quickstart: three losses on digit scenes

Mean over the seeds, in brackets the range; percent, on {scenes} scenes of the `validation` split.
Groups by the share of training scenes that show the class:

{groups}

{summary_table(results)}

Parameters are those in training: the projector of GPaCo is not used at inference, where all three
run the same network. Training is the time of the iterations alone.

Measured on {machine['processor']}, {machine['cores']} cores, with {packages}.

![Scenes and predictions](predictions.png)

![IoU of each class against its training frequency](iou_by_frequency.png)

![Loss and mIoU during training](curves.png)

## What was searched

Short trainings with seed {SEEDS[0]}, judged on the `search` split.

{search_table(results)}

{LIMITS}
The commands of each training are the first lines of `command-*.log` in its folder.
"""


def draw_pictures(results: dict, out: Path) -> None:
    """All pictures of the report."""
    from paco_seg.engine import plots

    classes, palette = class_colours()
    folders = [out / method['runs'][0]['folder'] / 'predictions' for method in results['methods']]
    names = sorted(path.stem for path in folders[0].glob('*.png'))[:NUM_SCENES]
    plots.draw_label_maps(
        out / 'predictions.png',
        images=[DATA / 'images' / 'validation' / f'{name}.jpg' for name in names],
        columns={
            'ground truth': [DATA / 'annotations' / 'validation' / f'{name}.png' for name in names],
            **{
                method['title']: [folder / f'{name}.png' for name in names]
                for method, folder in zip(results['methods'], folders, strict=True)
            },
        },
        classes=classes,
        palette=palette,
    )
    plots.draw_by_frequency(
        out / 'iou_by_frequency.png',
        classes=classes,
        shares=results['pixel_shares'],
        values={
            method['title']: [run['test']['per_class']['IoU'] for run in method['runs']]
            for method in results['methods']
        },
        ylabel='IoU (%)',
        xlabel='share of the training pixels',
    )
    plots.draw_curves(
        out / 'curves.png',
        {
            'training loss (sum of all terms)': {
                method['title']: [run['loss'] for run in method['runs']]
                for method in results['methods']
            },
            'mIoU on the search split (%)': {
                method['title']: [
                    [[row['step'], row['mIoU']] for row in run['validation']]
                    for run in method['runs']
                ]
                for method in results['methods']
            },
        },
    )


def class_colours() -> tuple[list[str], list[list[int]]]:
    """Class names and palette of the demo data, as written beside it."""
    statistics = json.loads((DATA / 'statistics.json').read_text())
    return statistics['classes'], statistics['palette']


def pixel_shares() -> list[float]:
    """Share of each class among the training pixels."""
    pixels = json.loads((DATA / 'class_frequency.json').read_text())['pixels']
    return [count / sum(pixels) for count in pixels]


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.split(':', 1)[1].strip() for line in lines if 'model name' in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def is_current(out: Path, fingerprint: str) -> bool:
    """Whether the report of exactly these results is there."""
    try:
        content = json.loads((out / 'results.json').read_text())
    except (OSError, ValueError):
        return False
    return content.get('fingerprint') == fingerprint and all(
        (out / name).exists() for name in (*PICTURES, 'report.md')
    )


def run(out: Path, comparison: Comparison = COMPARISON, force: bool = False) -> dict:
    """Run what is missing and write the report; returns the content of ``results.json``."""
    start = time.perf_counter()
    make_data(force)
    runner = CellRunner(
        out,
        total_cost=comparison.total_cost,
        force=force,
        preload=('mmengine.runner', 'paco_seg.seg'),
    )
    methods = comparison.run(runner)
    # The report depends on the results and on this file.
    content = json.dumps(methods, sort_keys=True) + Path(__file__).read_text()
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    if is_current(out, fingerprint):
        return json.loads((out / 'results.json').read_text())
    results = dict(
        fingerprint=fingerprint,
        machine=dict(processor=processor(), cores=os.cpu_count(), system=platform.system()),
        versions=versions(),
        seeds=list(comparison.seeds),
        pixel_shares=pixel_shares(),
        methods=methods,
    )
    draw_pictures(results, out)
    (out / 'report.md').write_text(report(results))
    write_json(out / 'results.json', results)
    print(f'{len(runner.executed)} new trainings in {(time.perf_counter() - start) / 60:.1f} min')
    return results


def main(argv: list[str] | None = None) -> None:
    """Run from the root of the repository, whose paths the configs use."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/quickstart'))
    parser.add_argument('--force', action='store_true', help='repeat what is finished')
    args = parser.parse_args(argv)
    out = Path(os.path.relpath(args.out.resolve(), ROOT))
    os.chdir(ROOT)
    results = run(out, force=args.force)
    print(f'\n{summary_table(results)}\n\nReport and pictures: {args.out / "report.md"}')


if __name__ == '__main__':
    main()
