"""Suites on the long-tailed digits: the quickstart, and all systems of classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paco_seg.comparison.study import Study, System
from paco_seg.comparison.suite import ByFrequency, Curves, DemoData, Suite, Table
from paco_seg.comparison.suites.segmentation import length
from paco_seg.comparison.suites.texts import CLS_DIFFERENCES, COMPARISON
from paco_seg.comparison.suites.texts import QUICKSTART_CLS as QUICKSTART_CLS_TEXT

CONFIG = 'paco_seg::quickstart/{}_resnet8_1xb32-300i_digits-lt-ir50.py'
DATA = DemoData('digits', 'data/digits_lt', 'class_counts.json')
RATES = {'optim_wrapper.optimizer.lr': (0.03, 0.1)}
ALPHA = 'model.head.loss.alpha'
ITERS, SEARCH_ITERS = 300, 100
PRELOAD = ('mmengine.runner', 'paco_seg.comparison.plots', 'paco_seg.cls')
COLUMNS = {
    'top-1': 'long-tail/top1',
    'many': 'long-tail/many',
    'medium': 'long-tail/medium',
    'few': 'long-tail/few',
}


def system(name: str, title: str, **settings: Any) -> System:
    """Return the system of ``configs/quickstart/NAME_resnet8_...``."""
    return System(name, title, CONFIG.format(name), RATES, **settings)


def with_weights_of(
    source: str, name: str, title: str, search: Mapping[str, Sequence[float]] | None = None
) -> System:
    """Return a system that tests the weights of another one."""
    return System(
        name,
        title,
        CONFIG.format(name),
        search or {},
        search_options={'test_dataloader.dataset.ann_file': 'search.txt'},
        source=source,
        trains=False,
    )


QUICKSTART_CLS = Suite(
    name='quickstart-cls',
    study=Study(
        systems=(
            system('ce', 'CE'),
            with_weights_of('ce', 'logit-adjusted-ce', 'CE, log prior at test'),
            system('balanced-softmax', 'Balanced Softmax'),
            System(
                'gpaco', 'GPaCo, alpha auto', CONFIG.format('gpaco'), {**RATES, ALPHA: ('auto',)}
            ),
            System(
                'gpaco-fixed-alpha',
                'GPaCo, alpha .05',
                CONFIG.format('gpaco'),
                {**RATES, ALPHA: (0.05,)},
            ),
        ),
        seeds=(0, 1, 2),
        metric='long-tail/top1',
        search_options=length(SEARCH_ITERS),
        search_cost=SEARCH_ITERS / ITERS,
        data_files=(
            f'{DATA.folder}/statistics.json',
            *(f'{DATA.folder}/{split}.txt' for split in ('training', 'search', 'validation')),
        ),
    ),
    folder='work_dirs/quickstart_cls',
    table=Table('Method', COLUMNS, costs=('Parameters', 'Training', 'Seeds')),
    report=QUICKSTART_CLS_TEXT,
    data=DATA,
    pictures=(
        ByFrequency('accuracy_by_frequency.png', 'accuracy', 'accuracy (%)', 'training images'),
        Curves('curves.png', 'training loss', 'top-1 on the search split (%)'),
    ),
    search_measure=f'top-1 after {SEARCH_ITERS} iterations',
    preload=PRELOAD,
)

DEMO_CLS = Suite(
    name='demo-cls',
    study=Study(
        systems=(
            system('ce', 'CE'),
            with_weights_of(
                'ce',
                'logit-adjusted-ce',
                'CE, log prior at test',
                {'model.head.tau': (0.5, 1.0, 1.5, 2.0)},
            ),
            with_weights_of(
                'ce',
                'tau-norm',
                'CE, tau-normalised',
                {'model.head.tau': tuple(step / 4 for step in range(9))},
            ),
            system('crt', 'cRT', source='ce', source_key='model.backbone.init_cfg.checkpoint'),
            system('lws', 'LWS', source='ce'),
            system('balanced-softmax', 'Balanced Softmax'),
            system(
                'ldam-drw',
                'LDAM-DRW',
                # the last fifth of the epochs, as in the config
                search_options={'model.head.loss.drw_start_epoch': 9},
            ),
            system('reslt', 'ResLT'),
            system('supcon-joint', 'CE + SupCon'),
            system('hybrid-sc', 'Hybrid-SC'),
            system('hybrid-psc', 'Hybrid-PSC'),
            system('bcl', 'BCL'),
            system('proco', 'ProCo'),
            system('paco', 'PaCo'),
            system('gpaco', 'GPaCo'),
        ),
        seeds=(0, 1, 2),
        metric='long-tail/top1',
        search_options=length(SEARCH_ITERS),
        search_cost=SEARCH_ITERS / ITERS,
        data_files=(f'{DATA.folder}/statistics.json', f'{DATA.folder}/training.txt'),
    ),
    folder='work_dirs/compare/demo-cls',
    table=Table(
        first='System',
        columns=COLUMNS,
        spread='deviation',
        costs=('Training', 'Peak memory', 'Parameters'),
        digits={'Parameters': 3},
    ),
    report=COMPARISON + CLS_DIFFERENCES,
    data=DATA,
    pictures=(
        ByFrequency('by_frequency.png', 'accuracy', 'accuracy (%)', 'training images'),
        Curves(
            'curves.png',
            'training loss (sum of all terms)',
            'long-tail/top1 on the search split (%)',
        ),
    ),
    search_measure='long-tail/top1',
    preload=PRELOAD,
)
