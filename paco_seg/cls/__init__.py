"""MMPretrain plugins; importing this package registers all of them."""

from paco_seg import compat

# Before anything imports MM: a missing or mixed package then gives one clear error.
compat.require('mmengine', 'mmcv', 'mmpretrain')
compat.setup()

from paco_seg.cls import (
    backbones,
    classifiers,
    compared,
    datasets,
    evaluation,
    heads,
    hooks,
    losses,
    systems,
)
from paco_seg.cls.loss_swap import swap_loss

__all__ = [
    'backbones',
    'classifiers',
    'compared',
    'datasets',
    'evaluation',
    'heads',
    'hooks',
    'losses',
    'swap_loss',
    'systems',
]
