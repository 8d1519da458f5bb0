"""What each option of the pixel loss beyond the paper does on the demo data.

    python benchmarks/ablate_pixel_options.py

One option at a time is changed from the quickstart's GPaCo config (learning rate .01, loss weight
.1: what its search chooses). No setting is searched here, so a row shows the effect of an option,
not its best use. Resumable like the quickstart; writes ``results/ablation_pixel_options.json`` and
prints the table.
"""

from __future__ import annotations

import os
from pathlib import Path

from paco_seg.engine.experiment import (
    CellRunner,
    Comparison,
    Method,
    mean_and_spread,
    text_table,
    versions,
    write_json,
)

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = 'configs/quickstart/{}-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
DATA = Path('data/digit_scenes')
LOSS = 'model.decode_head.loss_contrast'
ITERS = 600
SEEDS = (0, 1)
FREQUENCY = 'data/digit_scenes/class_frequency.json'

# Title -> options on top of the GPaCo config.
VARIANTS = {
    'GPaCo, loss_weight 0.1': {},
    'loss_weight 1': {f'{LOSS}.loss_weight': 1.0},
    'loss_weight 1, warmup_iters 300': {f'{LOSS}.loss_weight': 1.0, f'{LOSS}.warmup_iters': 300},
    "alpha 'auto'": {f'{LOSS}.alpha': 'auto', f'{LOSS}.frequency_file': FREQUENCY},
    "pixel_selection 'class_balanced'": {f'{LOSS}.pixel_selection': 'class_balanced'},
    "pixel_selection 'hard'": {f'{LOSS}.pixel_selection': 'hard'},
    "scope 'batch'": {f'{LOSS}.scope': 'batch'},
    'num_pixels -1': {f'{LOSS}.num_pixels': -1},
    'queue_size 2048': {f'{LOSS}.queue_size': 2048},
}
COLUMNS = ('mIoU', 'mIoU_head', 'mIoU_common', 'mIoU_tail')


def main() -> None:
    """Run what is missing; from the root, whose paths the configs use."""
    os.chdir(ROOT)
    gpaco = {'optim_wrapper.optimizer.lr': 0.01, f'{LOSS}.loss_weight': 0.1}
    runs = {'CE': ('ce', {'optim_wrapper.optimizer.lr': 0.01})}
    runs.update({title: ('gpaco', {**gpaco, **extra}) for title, extra in VARIANTS.items()})
    comparison = Comparison(
        methods=(),
        seeds=SEEDS,
        metric='mIoU',
        search_options={},
        search_cost=0.0,
        options={
            'train_cfg.max_iters': ITERS,
            'train_cfg.val_interval': ITERS,
            'param_scheduler.1.end': ITERS,
            'default_hooks.checkpoint.interval': ITERS,
        },
        data_files=(DATA / 'statistics.json', DATA / 'class_frequency.json'),
    )
    runner = CellRunner(
        'work_dirs/ablation_pixel_options',
        total_cost=len(runs) * len(SEEDS),
        preload=('mmengine.runner', 'paco_seg.seg'),
    )
    found = {}
    for number, (title, (config, settings)) in enumerate(runs.items()):
        method = Method(f'{number:02}', title, CONFIGS.format(config), {})
        cells = [comparison.final_cell(method, settings, seed) for seed in SEEDS]
        metrics = [runner.run(cell)['test']['metrics'] for cell in cells]
        found[title] = dict(
            settings=settings, metrics=[{key: m.get(key) for key in COLUMNS} for m in metrics]
        )
    rows = [
        [title, *(mean_and_spread([m[key] for m in row['metrics']]) for key in COLUMNS)]
        for title, row in found.items()
    ]
    out = ROOT / 'benchmarks' / 'results' / 'ablation_pixel_options.json'
    write_json(out, dict(iterations=ITERS, seeds=SEEDS, versions=versions(), rows=found))
    print(text_table(['Option', *COLUMNS], rows))


if __name__ == '__main__':
    main()
