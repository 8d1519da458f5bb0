"""Suites on the digit scenes: the quickstart, and all systems of segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paco_seg.comparison.study import Study, System
from paco_seg.comparison.suite import ByFrequency, Curves, DemoData, LabelMaps, Suite, Table
from paco_seg.comparison.suites.texts import COMPARISON, SEG_DIFFERENCES
from paco_seg.comparison.suites.texts import QUICKSTART as QUICKSTART_TEXT

CONFIG = 'paco_seg::quickstart/{}-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
DATA = DemoData('digit-scenes', 'data/digit_scenes', 'class_frequency.json', 'pixels')
DATA_FILES = tuple(f'{DATA.folder}/{name}.json' for name in ('statistics', 'class_frequency'))
LEARNING_RATES = (0.003, 0.01)
CONTRAST_WEIGHTS = {'loss_contrast.loss_weight': (0.1, 1.0)}
REGION_WEIGHTS = {'training_branches.region_rebalance.loss_weight': (0.1, 1.0)}
ITERS, SEARCH_ITERS = 1000, 200
PRELOAD = ('mmengine.runner', 'paco_seg.comparison.plots', 'paco_seg.seg')


def length(iters: int) -> dict[str, int]:
    """Return the config options of a training of that length, validated at its end."""
    return {
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': iters,
        'param_scheduler.1.end': iters,
        'default_hooks.checkpoint.interval': iters,
    }


def system(name: str, title: str, weights: Mapping[str, Sequence[float]] | None = None) -> System:
    """Return the system of ``configs/quickstart/NAME-fcn_...``.

    Args:
        name: of the config and the system.
        title: in tables.
        weights: key below ``model.decode_head`` -> values to try, of the loss it adds.
    """
    search: dict[str, Sequence[float]] = {'optim_wrapper.optimizer.lr': LEARNING_RATES}
    search |= {f'model.decode_head.{key}': values for key, values in (weights or {}).items()}
    return System(name, title, CONFIG.format(name), search)


SYSTEMS = (
    system('ce', 'CE'),
    system('logit-adjusted-ce', 'CE + log prior'),
    system('gpaco', 'CE + GPaCo', CONTRAST_WEIGHTS),
    system('gpaco-logit-adjusted-ce', 'CE + log prior + GPaCo', CONTRAST_WEIGHTS),
    system('region-rebalance', 'CE + Region Rebalance', REGION_WEIGHTS),
    system('region-rebalance-learnable', 'CE + Region Rebalance, learnable', REGION_WEIGHTS),
    system(
        'region-bias',
        'CE + Region Rebalance, biased logits',
        {'region_bias.region_weight': (0.1, 1.0)},
    ),
    system('ceco', 'CE + CeCo', {'training_branches.ceco.loss_weight': (0.04, 0.4)}),
    system('gpaco-region-rebalance', 'CE + GPaCo + Region Rebalance', CONTRAST_WEIGHTS),
)

QUICKSTART = Suite(
    name='quickstart',
    study=Study(
        systems=SYSTEMS[:3],
        seeds=(0, 1),
        metric='mIoU',
        search_options=length(SEARCH_ITERS),
        search_cost=SEARCH_ITERS / ITERS,
        # beside the metrics, the label maps for the pictures
        test_options={'test_evaluator.output_dir': '{dir}/predictions'},
        data_files=DATA_FILES,
    ),
    folder='work_dirs/quickstart',
    table=Table(
        first='Method',
        columns={
            'aAcc': 'aAcc',
            'mIoU': 'mIoU',
            'mIoU head': 'mIoU_head',
            'mIoU common': 'mIoU_common',
            'mIoU tail': 'mIoU_tail',
        },
        costs=('Parameters', 'Training', 'Seeds'),
    ),
    report=QUICKSTART_TEXT,
    data=DATA,
    pictures=(
        LabelMaps('predictions.png', scenes=6),
        ByFrequency(
            'iou_by_frequency.png', 'IoU', 'IoU (%)', 'share of the training pixels', shares=True
        ),
        Curves('curves.png', 'training loss (sum of all terms)', 'mIoU on the search split (%)'),
    ),
    search_measure=f'mIoU after {SEARCH_ITERS} iterations',
    preload=PRELOAD,
)

DEMO_SEG = Suite(
    name='demo-seg',
    study=Study(
        systems=SYSTEMS,
        seeds=(0, 1, 2),
        metric='mIoU',
        search_options=length(SEARCH_ITERS),
        search_cost=SEARCH_ITERS / ITERS,
        data_files=DATA_FILES,
    ),
    folder='work_dirs/compare/demo-seg',
    table=Table(
        first='System',
        columns={
            'mIoU': 'mIoU',
            'head': 'mIoU_head',
            'common': 'mIoU_common',
            'tail': 'mIoU_tail',
        },
        spread='deviation',
        costs=('Training', 'Peak memory', 'Parameters'),
        digits={'Parameters': 3},
    ),
    report=COMPARISON + SEG_DIFFERENCES,
    data=DATA,
    pictures=(
        ByFrequency('by_frequency.png', 'IoU', 'IoU (%)', 'training pixels'),
        Curves('curves.png', 'training loss (sum of all terms)', 'mIoU on the search split (%)'),
    ),
    search_measure='mIoU',
    preload=PRELOAD,
)
