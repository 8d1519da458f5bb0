"""Suite on the digit scenes: what each option of the pixel loss beyond the paper does.

One option at a time is changed from the quickstart's GPaCo (learning rate .01, loss weight
.1: what its search chooses). No setting is searched here, so a row shows the effect of an option,
not its best use.
"""

from __future__ import annotations

from typing import Any

from paco_seg.comparison.study import Study, System
from paco_seg.comparison.suite import Suite, Table
from paco_seg.comparison.suites.segmentation import CONFIG, DATA, DATA_FILES, GPACO, length
from paco_seg.comparison.suites.texts import PIXEL_OPTIONS as TEXT

ITERS = 600
RATE = {'optim_wrapper.optimizer.lr': 0.01}
LOSS = 'model.decode_head.loss_contrast'

# name -> title and settings of the loss on top of the quickstart's GPaCo
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    'gpaco': ('GPaCo, loss_weight 0.1', {}),
    'full-weight': ('loss_weight 1', {'loss_weight': 1.0}),
    'warmup': ('loss_weight 1, warmup_iters 300', {'loss_weight': 1.0, 'warmup_iters': 300}),
    'auto-alpha': (
        "alpha 'auto'",
        {'alpha': 'auto', 'frequency_file': f'{DATA.folder}/class_frequency.json'},
    ),
    'class-balanced': (
        "pixel_selection 'class_balanced'",
        {'pixel_selection': 'class_balanced'},
    ),
    'hard': ("pixel_selection 'hard'", {'pixel_selection': 'hard'}),
    'batch-scope': ("scope 'batch'", {'scope': 'batch'}),
    'all-pixels': ('num_pixels -1', {'num_pixels': -1}),
    'queue': ('queue_size 2048', {'queue_size': 2048}),
}


def variant(name: str) -> System:
    """Return GPaCo with one option changed."""
    title, settings = VARIANTS[name]
    settings = {'loss_weight': 0.1, **settings}
    options = {**RATE, **{f'{LOSS}.{key}': value for key, value in settings.items()}}
    return System(name, title, CONFIG, options=options, registered='gpaco', settings=GPACO)


PIXEL_OPTIONS = Suite(
    name='pixel-options',
    study=Study(
        systems=(
            System('ce', 'CE', CONFIG, options=RATE),
            *(variant(name) for name in VARIANTS),
        ),
        seeds=(0, 1),
        metric='mIoU',
        search_options={},
        search_cost=0.0,
        options=length(ITERS),
        data_files=DATA_FILES,
    ),
    folder='work_dirs/compare/pixel-options',
    table=Table(
        first='Option',
        columns={name: name for name in ('mIoU', 'mIoU_head', 'mIoU_common', 'mIoU_tail')},
    ),
    report=TEXT,
    data=DATA,
    preload=('mmengine.runner', 'paco_seg.seg'),
)
