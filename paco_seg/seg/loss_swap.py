"""Any MMSegmentation config with another training loss around its decode heads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.config import Config
from mmseg.registry import MODELS

from paco_seg.core.checks import check_choice
from paco_seg.core.frequency import REMEDY
from paco_seg.engine.model_changes import (
    ModelChange,
    apply_changes,
    read_config,
    starts_from_weights,
)
from paco_seg.seg.heads import BranchDecodeHead
from paco_seg.seg.heads.branch_decode_head import branch_head_class

IMPORTS = ('paco_seg.seg',)
HOOKS = ()


class Method(NamedTuple):
    """How a method is put around a head.

    Attributes:
        head: registered type of the head; it takes ``base_type``.
        path: where in the head's arguments the loss or branch is configured.
        type: registered type of that loss or branch.
        needs_frequencies: whether it is about a prior that ``frequency_file`` gives.
    """

    head: str
    path: tuple[str, ...]
    type: str
    needs_frequencies: bool = False


METHODS = {
    'gpaco': Method('GPaCoDecodeHead', ('loss_contrast',), 'PixelGPaCoLoss'),
    'ceco': Method(
        'BranchDecodeHead',
        ('training_branches', 'ceco'),
        'CeCoBranch',
        needs_frequencies=True,
    ),
    'region_rebalance': Method(
        'BranchDecodeHead',
        ('training_branches', 'region_rebalance'),
        'RegionRebalanceBranch',
        needs_frequencies=True,
    ),
}
TAKES_FREQUENCIES = True
FREQUENCY_METHODS = tuple(name for name, method in METHODS.items() if method.needs_frequencies)
HEADS = ('main', 'all')


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
    loss = _with_defaults(method, loss)
    model = cfg.get('model') or {}
    if not model.get('decode_head'):
        raise ValueError(
            f'model.decode_head: expected the decode head of a segmentor, got a model of type '
            f'{model.get("type")!r} without one. The loss is attached to a decode head'
        )
    *others, main = _heads(model)
    changes = [_change(*main, method, loss)]
    if heads == 'all':
        for path, head in others:
            try:
                changes.append(_change(path, head, method, loss))
            except ValueError:
                continue  # an auxiliary head of another kind stays what it is
    return changes


def _with_defaults(method: str, loss: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with what follows from a frequency file, or refuse its absence."""
    if METHODS[method].needs_frequencies:
        if 'frequency_file' not in loss:
            raise ValueError(
                f'frequency_file: expected the class frequencies that the prior of {method!r} is '
                f'made of, got none. {REMEDY}, or set frequency_file=None to train without a prior'
            )
    elif loss.get('frequency_file') is not None:
        return {'alpha': 'auto', **loss}
    return loss


def advice(cfg: Config, *, method: str = 'gpaco', **loss: Any) -> list[str]:
    """List what to know before training with these settings; arguments of :func:`swap_loss`."""
    if method != 'gpaco':
        return []
    lines = []
    if 'alpha' not in loss and loss.get('frequency_file') is None:
        lines.append(
            'loss_contrast.alpha: 0.01, the value of the paper, for no class frequencies are '
            'known. What acts is its product with the positives of a pixel, which grows as the '
            "classes get fewer: with --frequency-file FILE alpha becomes 'auto' and training "
            f'reports the product. {REMEDY}'
        )
    if not {'loss_weight', 'warmup_iters'} & set(loss) and not starts_from_weights(cfg):
        lines.append(
            'loss_contrast.loss_weight: 1, and the config names no pretrained weights. From '
            'scratch the contrastive loss dominates at first (about 8 beside a cross entropy of '
            '2): lower it (--loss-options loss_weight=0.2) or let it grow (--loss-options '
            'warmup_iters=N, such as a tenth of the iterations)'
        )
    return lines


def _heads(model: dict) -> Iterator[tuple[tuple, dict]]:
    """Yield (path, config) of every head; the main one, which predicts, comes last."""
    for key in ('auxiliary_head', 'decode_head'):
        head = model.get(key)
        if isinstance(head, (list, tuple)):
            yield from (((key, i), item) for i, item in enumerate(head))
        elif head:
            yield (key,), head


def _change(path: tuple, head: dict, method: str, loss: dict[str, Any]) -> ModelChange:
    key = '.'.join(['model', *map(str, path)])
    base_type = head.get('type')
    if not isinstance(base_type, str):
        raise ValueError(
            f'{key}.type: expected the registered name of a head, got {base_type!r}. '
            'Write the name as a string'
        )
    known = MODELS.get(base_type)
    if isinstance(known, type) and issubclass(known, BranchDecodeHead):
        raise ValueError(
            f'{key}.type: expected a stock head, got {base_type!r}, which has training branches '
            'already. Change its settings instead'
        )
    head_type, (*outer, last), loss_type, _ = METHODS[method]
    # Refuses a head that cannot work, with the reason, before anything is built.
    branch_head_class(MODELS.get(head_type), base_type)
    settings: dict[str, Any] = {last: dict(type=loss_type, **loss)}
    for name in reversed(outer):
        settings = {name: settings}
    return ModelChange(path, dict(type=head_type, base_type=base_type, **settings))
