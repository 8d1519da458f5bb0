"""MMPretrain plugins; importing this package registers all of them."""

from paco_seg import compat

# Before anything imports MM: a missing or mixed package then gives one clear error.
compat.require('mmengine', 'mmcv', 'mmpretrain')
compat.setup()

from paco_seg.cls import (  # noqa: F401
    backbones,
    classifiers,
    compared,
    datasets,
    evaluation,
    heads,
    hooks,
    losses,
)
