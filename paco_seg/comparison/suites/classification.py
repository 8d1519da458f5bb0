"""Suites on the long-tailed digits: the quickstart, and all systems of classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paco_seg.comparison.study import Study, System
from paco_seg.comparison.suite import ByFrequency, Curves, DemoData, Suite, Table
from paco_seg.comparison.suites.segmentation import length
from paco_seg.comparison.suites.texts import CLS_DIFFERENCES, COMPARISON
from paco_seg.comparison.suites.texts import QUICKSTART_CLS as QUICKSTART_CLS_TEXT

CONFIG = 'paco_seg::quickstart/ce_resnet8_1xb32-300i_digits-lt-ir50.py'
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
# What is searched on the weights of cross entropy
PRIOR_TAUS = {'model.head.tau': (0.5, 1.0, 1.5, 2.0)}
NORM_TAUS = {'model.head.tau': tuple(step / 4 for step in range(9))}
# Settings of the training systems on this data; the registered ones are for larger networks.
COUNTED = {'class_prior': f'{DATA.folder}/{DATA.frequencies}'}
PROJECTOR = {'num_layers': 2, 'out_channels': 32}
THREE_VIEWS = {'projector': {**PROJECTOR, 'norm': 'BN1d'}}
# a queue of about two passes over the training images
QUEUE = {'projector': PROJECTOR, 'queue_size': 512}
GPACO = {**QUEUE, 'temperature': 0.2}
# an average over 0.99 of the past: 300 iterations are too few for .999
PACO = {**GPACO, 'momentum': 0.99}
HYBRID = {'projector': PROJECTOR}
# as on CIFAR-10-LT
PROTOTYPES = {**HYBRID, 'temperature': 1.0}
# the seven rarest and the four rarest classes
RESLT = {'groups': (7, 4), 'alpha': 0.998}
# what stock heads start from; a list is not merged with the setting that it replaces
STOCK_INIT = {'model.head.init_cfg': [{'type': 'Normal', 'layer': 'Linear', 'std': 0.01}]}
# a norm per branch, as on CIFAR
RESLT_HEAD = {'model.head.branch': 'norm', **STOCK_INIT}
# the last fifth of the 33 epochs, and of the 11 of a search
LDAM = {'drw_start_share': None}
LDAM_SEARCH = {'model.head.loss.drw_start_epoch': 9}
LDAM_HEAD = {
    'model.head.loss.drw_start_epoch': 26,
    # as on CIFAR; by default the class vectors would start close to zero
    'model.head.init_cfg': {
        'type': 'Kaiming',
        'layer': 'Linear',
        'mode': 'fan_in',
        'nonlinearity': 'relu',
    },
}
# The weights of the first stage take the place of a start from scratch, so that the new classifier
# starts from the first numbers of the seed.
STAGE_ONE = 'model.backbone.init_cfg'
CRT = {
    'model.stage_one': None,
    STAGE_ONE: {'type': 'Pretrained', 'checkpoint': 'WEIGHTS-OF-ce.pth', 'prefix': 'backbone.'},
}


def system(
    name: str,
    title: str,
    registered: str | None,
    settings: Mapping[str, Any] | None = None,
    **further: Any,
) -> System:
    """Return a training system on the demo config.

    Args:
        name: here.
        title: in tables.
        registered: name in ``paco_seg/cls/systems``; None for the demo config as it is.
        settings: where they differ from those of the registered system.
        **further: of :class:`System`.
    """
    search = {**RATES, **further.pop('search', {})}
    own = settings or {}
    return System(name, title, CONFIG, search, registered=registered, settings=own, **further)


def with_weights_of_ce(
    name: str,
    title: str,
    registered: str,
    settings: Mapping[str, Any] | None = None,
    search: Mapping[str, Sequence[float]] | None = None,
) -> System:
    """Return a system that tests the weights of cross entropy."""
    return System(
        name,
        title,
        CONFIG,
        search or {},
        search_options={'test_dataloader.dataset.ann_file': 'search.txt'},
        source='ce',
        trains=False,
        registered=registered,
        settings=settings or {},
    )


QUICKSTART_CLS = Suite(
    name='quickstart-cls',
    study=Study(
        systems=(
            system('ce', 'CE', None),
            with_weights_of_ce(
                'logit-adjusted-ce', 'CE, log prior at test', 'log-prior-test', COUNTED
            ),
            system('balanced-softmax', 'Balanced Softmax', 'balanced-softmax'),
            system('gpaco', 'GPaCo, alpha auto', 'gpaco', GPACO, search={ALPHA: ('auto',)}),
            system(
                'gpaco-fixed-alpha', 'GPaCo, alpha .05', 'gpaco', GPACO, search={ALPHA: (0.05,)}
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
            system('ce', 'CE', None),
            with_weights_of_ce(
                'logit-adjusted-ce', 'CE, log prior at test', 'log-prior-test', COUNTED, PRIOR_TAUS
            ),
            with_weights_of_ce('tau-norm', 'CE, tau-normalised', 'tau-norm', search=NORM_TAUS),
            system(
                'crt',
                'cRT',
                'crt',
                source='ce',
                source_key=f'{STAGE_ONE}.checkpoint',
                overrides=CRT,
            ),
            system('lws', 'LWS', 'lws', source='ce'),
            system('balanced-softmax', 'Balanced Softmax', 'balanced-softmax'),
            system(
                'ldam-drw',
                'LDAM-DRW',
                'ldam-drw',
                LDAM,
                overrides=LDAM_HEAD,
                search_options=LDAM_SEARCH,
            ),
            system('reslt', 'ResLT', 'reslt', RESLT, overrides=RESLT_HEAD),
            system('supcon-joint', 'CE + SupCon', 'supcon-joint', QUEUE),
            system('hybrid-sc', 'Hybrid-SC', 'hybrid-sc', HYBRID, overrides=STOCK_INIT),
            system('hybrid-psc', 'Hybrid-PSC', 'hybrid-psc', PROTOTYPES, overrides=STOCK_INIT),
            system('bcl', 'BCL', 'bcl', THREE_VIEWS),
            system('proco', 'ProCo', 'proco', THREE_VIEWS),
            system('paco', 'PaCo', 'paco', PACO),
            system('gpaco', 'GPaCo', 'gpaco', GPACO),
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
