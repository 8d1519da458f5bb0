"""MMSegmentation plugins; importing this package registers all of them."""

from paco_seg import compat

# Before anything imports MM: a missing or mixed package then gives one clear error.
compat.require('mmengine', 'mmcv', 'mmseg')
compat.setup()

with compat.without_onedl_notice():
    from paco_seg.seg import compared, datasets, evaluation, heads, losses, systems
    from paco_seg.seg.loss_swap import swap_loss

__all__ = ['compared', 'datasets', 'evaluation', 'heads', 'losses', 'swap_loss', 'systems']
