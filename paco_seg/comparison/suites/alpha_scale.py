"""Suite on 10, 30 and 100 classes: does ``alpha='auto'`` transfer where a fixed alpha does not?

Cross entropy, Balanced Softmax, a sweep of fixed alphas and ``'auto'`` on each of the three sets of
:mod:`paco_seg.comparison.alpha_scale`, whose small network needs neither MMEngine nor a config.
"""

from __future__ import annotations

from paco_seg.comparison.study import Sweep, System
from paco_seg.comparison.suite import Suite, Table
from paco_seg.comparison.suites.texts import ALPHA_SCALE as TEXT

DATA = ('10 digits', '30 pairs', '100 pairs')
METHODS = (
    'cross entropy',
    'balanced softmax',
    *('0.0005', '0.002', '0.005', '0.01', '0.02', '0.05', '0.2'),
    'auto',
)
STEPS = 1200


def system(data: str, method: str) -> System:
    """Return one way to train on one of the sets."""
    name = f'{data}-{method}'.replace(' ', '-')
    title = method if method.startswith(('cross', 'balanced')) else f'GPaCo, alpha {method}'
    options = {'data': data, 'method': method, 'steps': STEPS}
    return System(name, f'{data}: {title}', 'paco_seg.comparison.alpha_scale', options=options)


ALPHA_SCALE = Suite(
    name='alpha-scale',
    study=Sweep(
        systems=tuple(system(data, method) for data in DATA for method in METHODS),
        seeds=(0, 1, 2),
        workers=2,  # a core each
    ),
    folder='work_dirs/compare/alpha-scale',
    table=Table(
        first='Method',
        columns={name: name for name in ('val', 'test', 'head', 'medium', 'tail')},
        spread='deviation',
        costs=('alpha P', 'Seeds'),
    ),
    report=TEXT,
    preload=('sklearn.datasets', 'paco_seg.core'),
)
