"""Trains a small model with three losses on the demo data and reports what comes out.

    python tools/quickstart.py [--force]

Cross entropy, cross entropy with the log pixel prior, and cross entropy with GPaCo get the same
learning-rate search on a split of its own, the same iterations and the same seeds. Writes
``results.json``, ``report.md`` and pictures to ``work_dirs/quickstart``. An interrupted run
continues where it stopped; finished work is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from paco_seg.engine import report as reports
from paco_seg.engine.experiment import Comparison, Method

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
    return reports.summary_table(results, COLUMNS)


def report(results: dict) -> str:
    """``report.md``."""
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

{reports.measured_on(results)}

![Scenes and predictions](predictions.png)

![IoU of each class against its training frequency](iou_by_frequency.png)

![Loss and mIoU during training](curves.png)

## What was searched

Short trainings with seed {SEEDS[0]}, judged on the `search` split.

{reports.search_table(results, f'mIoU after {SEARCH_ITERS} iterations')}

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
        values=reports.per_class_of(results, 'IoU'),
        ylabel='IoU (%)',
        xlabel='share of the training pixels',
    )
    loss, validation = reports.curves_of(results, 'mIoU')
    plots.draw_curves(
        out / 'curves.png',
        {
            'training loss (sum of all terms)': loss,
            'mIoU on the search split (%)': validation,
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


def write_report(results: dict, out: Path) -> None:
    """Pictures and text."""
    draw_pictures(results, out)
    (out / 'report.md').write_text(report(results))


def run(out: Path, comparison: Comparison = COMPARISON, force: bool = False) -> dict:
    """Run what is missing and write the report; returns the content of ``results.json``."""
    make_data(force)
    return reports.run_reported(
        out,
        comparison,
        write_report,
        script=__file__,
        files=(*PICTURES, 'report.md'),
        preload=('mmengine.runner', 'paco_seg.engine.plots', 'paco_seg.seg'),
        force=force,
        pixel_shares=pixel_shares(),
    )


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
