"""Suites on the digit scenes: the quickstart, and all systems of segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paco_seg.comparison.study import Study, System
from paco_seg.comparison.suite import ByFrequency, Curves, DemoData, LabelMaps, Suite, Table
from paco_seg.comparison.suites.texts import COMPARISON, SEG_DIFFERENCES
from paco_seg.comparison.suites.texts import QUICKSTART as QUICKSTART_TEXT

CONFIG = 'paco_seg::quickstart/ce-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
DATA = DemoData('digit-scenes', 'data/digit_scenes', 'class_frequency.json', 'pixels')
DATA_FILES = tuple(f'{DATA.folder}/{name}.json' for name in ('statistics', 'class_frequency'))
LEARNING_RATES = (0.003, 0.01)
# Weights that are searched, by key below `model.decode_head`.
CONTRAST = {'loss_contrast.loss_weight': (0.1, 1.0)}
BRANCH = {'training_branches.region_rebalance.loss_weight': (0.1, 1.0)}
BIAS = {'region_bias.region_weight': (0.1, 1.0)}
CORNERS = {'training_branches.ceco.loss_weight': (0.04, 0.4)}
# Settings of the training systems on this data; one of two has its name ahead of them.
GPACO: dict[str, Any] = {
    'alpha': 0.01,
    'temperature': 0.07,
    # half of the 24x24 map, as the paper's 8192 of 128x128
    'num_pixels': 288,
    'loss_weight': 1.0,
}
BN = {'type': 'BN', 'requires_grad': True}
REGION = {'norm_cfg': BN, 'label_smoothing': 0.5, 'scale': 1.0, 'loss_weight': 1.0}
# without smoothing, as in the config on ADE20K
REGION_BIAS = {
    'main_weight': 1.0,
    'region_weight': 1.0,
    'absent_weight': 1.0,
    'label_smoothing': 0.0,
}
CECO = {'norm_cfg': BN, 'scale': 5.0, 'loss_weight': 0.4}
# GPaCo beside another system that brings the class frequencies, without them
GPACO_BESIDE = {f'gpaco.{key}': value for key, value in GPACO.items()}
GPACO_BESIDE['gpaco.frequency_file'] = None
WITH_PRIOR = {**GPACO_BESIDE, 'gpaco.class_prior': False}
WITH_REGION = {
    **GPACO_BESIDE,
    'region-rebalance.norm_cfg': BN,
    'region-rebalance.label_smoothing': 0.0,
    'region-rebalance.loss_weight': 1.0,
}
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


def system(
    name: str,
    title: str,
    registered: str | None,
    settings: Mapping[str, Any] | None = None,
    weights: Mapping[str, Sequence[float]] | None = None,
) -> System:
    """Return a training system on the demo config.

    Args:
        name: here.
        title: in tables.
        registered: name in ``paco_seg/seg/systems``; None for the demo config as it is.
        settings: where they differ from those of the registered system.
        weights: key below ``model.decode_head`` -> values to try, of the loss it adds.
    """
    search: dict[str, Sequence[float]] = {'optim_wrapper.optimizer.lr': LEARNING_RATES}
    search |= {f'model.decode_head.{key}': values for key, values in (weights or {}).items()}
    return System(name, title, CONFIG, search, registered=registered, settings=settings or {})


LEARNABLE = 'region-rebalance-learnable'
SYSTEMS = (
    system('ce', 'CE', None),
    system('logit-adjusted-ce', 'CE + log prior', 'log-prior'),
    system('gpaco', 'CE + GPaCo', 'gpaco', GPACO, CONTRAST),
    system(
        'gpaco-logit-adjusted-ce',
        'CE + log prior + GPaCo',
        'gpaco+log-prior',
        WITH_PRIOR,
        CONTRAST,
    ),
    system(
        'region-rebalance',
        'CE + Region Rebalance',
        'region-rebalance',
        REGION,
        BRANCH,
    ),
    system(LEARNABLE, 'CE + Region Rebalance, learnable', LEARNABLE, REGION, BRANCH),
    system('region-bias', 'CE + Region Rebalance, biased logits', 'region-bias', REGION_BIAS, BIAS),
    system('ceco', 'CE + CeCo', 'ceco', CECO, CORNERS),
    system(
        'gpaco-region-rebalance',
        'CE + GPaCo + Region Rebalance',
        'gpaco+region-rebalance',
        WITH_REGION,
        CONTRAST,
    ),
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
