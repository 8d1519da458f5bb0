"""Any MMSegmentation config with another training loss around its decode heads: GPaCo and branches.

A thin call of :mod:`paco_seg.seg.systems`, which knows every other system too.
"""

from __future__ import annotations

import os
from typing import Any

from mmengine.config import Config

from paco_seg.core.checks import check_choice
from paco_seg.core.frequency import REMEDY
from paco_seg.engine.model_changes import (
    ModelChange,
    apply_changes,
    read_config,
    starts_from_weights,
)
from paco_seg.engine.systems import SystemInputs
from paco_seg.seg.systems import SYSTEMS, ceco, gpaco, region_rebalance
from paco_seg.seg.systems.heads import HEADS, IMPORTS, base_type, change_heads, heads_of_model

METHODS = {
    'gpaco': gpaco.ATTACHED,
    'ceco': ceco.ATTACHED,
    'region_rebalance': region_rebalance.ATTACHED,
}


def swap_loss(
    cfg: Config | str | os.PathLike, *, method: str = 'gpaco', heads: str = 'main', **loss: Any
) -> Config:
    """Make a config like ``cfg`` whose heads train with ``method`` beside their own losses.

    Args:
        cfg: a config, a file, or a packaged config such as ``mmseg::pspnet/....py``.
        method: key of ``METHODS``.
        heads: 'main', the head that predicts (the last one of a cascade), or 'all', also the
            earlier heads of a cascade and the auxiliary heads as far as they can carry it.
        **loss: settings of the method's loss or branch, e.g. ``alpha=0.02``. 'ceco' and
            'region_rebalance' need ``frequency_file``, the prior they are about (None = train
            without it on purpose); 'gpaco' with a ``frequency_file`` takes ``alpha='auto'`` unless
            it is given, for the paper's 0.01 is that of data sets of many classes.

    Raises:
        ValueError: ``cfg`` has no decode head, its head cannot work (with the reason), or
            ``frequency_file`` is missing.

    Example:
        >>> cfg = swap_loss('mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', alpha=0.02)
        >>> cfg.model.decode_head.base_type
        'FCNHead'
    """
    if not isinstance(cfg, Config):
        cfg = read_config(cfg)
    changes = loss_changes(cfg, method=method, heads=heads, **loss)
    return apply_changes(cfg, changes, IMPORTS)


def loss_changes(
    cfg: Config, *, method: str = 'gpaco', heads: str = 'main', **loss: Any
) -> list[ModelChange]:
    """List what :func:`swap_loss` changes; same arguments and errors."""
    check_choice('method', method, tuple(METHODS))
    check_choice('heads', heads, HEADS)
    system = SYSTEMS[method.replace('_', '-')]
    if system.needs.class_frequencies and 'frequency_file' not in loss:
        raise ValueError(
            f'frequency_file: expected the class frequencies that the prior of {method!r} is '
            f'made of, got none. {REMEDY}, or set frequency_file=None to train without a prior'
        )
    change_heads(cfg, heads, lambda key, head: dict(type=base_type(key, head)))  # stock heads alone
    inputs = SystemInputs(frequency_file=loss.get('frequency_file'))
    # Not .changes(): a method about a prior may be asked to do without on purpose.
    return system.change(cfg, dict(system.settings, heads=heads, **loss), inputs)


def advice(cfg: Config, *, method: str = 'gpaco', **loss: Any) -> list[str]:
    """List what to know before training with these settings; arguments of :func:`swap_loss`.

    Of a config whose head trains with GPaCo already nothing is said: its own settings hold.
    """
    if method != 'gpaco' or heads_of_model(cfg)[-1][1].get('type') == gpaco.ATTACHED.head:
        return []
    lines = []
    if 'alpha' not in loss and loss.get('frequency_file') is None:
        lines.append(
            'loss_contrast.alpha: 0.01, the value of the paper, for no class frequencies are '
            'known. What acts is its product with the positives of a pixel, which grows as the '
            "classes get fewer: with --frequency-file FILE alpha becomes 'auto' and training "
            f'reports the product. {REMEDY}'
        )
    if {'loss_weight', 'warmup_iters'} & set(loss):
        return lines
    if starts_from_weights(cfg):
        lines.append(
            'loss_contrast.loss_weight: 1, as in the papers, which train for long. In the short '
            'trainings on photographs of docs/evidence.md a tenth was better, on fewer pixels: '
            '--set loss_weight=0.1 num_pixels=1024'
        )
    else:
        lines.append(
            'loss_contrast.loss_weight: 1, and the config names no pretrained weights. From '
            'scratch the contrastive loss dominates at first (about 8 beside a cross entropy of '
            '2): lower it (--set loss_weight=0.1), or let it grow (--set warmup_iters=N), '
            'which gave less in docs/pixel_options.md'
        )
    return lines
