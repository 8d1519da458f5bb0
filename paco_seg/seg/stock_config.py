"""A config without anything of this package, for plain MMSegmentation."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from paco_seg.engine.signatures import named_arguments

PACKAGE = 'paco_seg'
# Data sets of ours around another, which stands for them.
WRAPPERS = ('RareClassDataset', 'TailMemoryDataset')
BESIDE = ('SoftmaxDiceLoss', 'SquareAUCLoss')  # losses of ours that stand beside a stock one
MEASURED_BY = 'ClassConfusion'  # the metric of `compare`, whose mIoU is that of IoUMetric
_DROPPED = object()


def stock_config(cfg: Config) -> Config:
    """The config of the same model and evaluation in plain MMSegmentation.

    A head with training branches becomes its base head, a metric or dataset of this package the
    stock class it extends or the data set that it is around, a loss of this package cross entropy
    (a published model is evaluated; its training losses only have to exist), a hook of this package
    goes unless it extends a stock one.

    Args:
        cfg: a complete segmentation config.

    Raises:
        ValueError: something of this package has no counterpart; names the config key.
    """
    ours = {name: cls for name, cls in _registered().items() if _module(cls) == PACKAGE}
    stock = Config({key: _stock(value, key, ours) for key, value in cfg.to_dict().items()})
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [imports] if isinstance(imports, str) else imports
    kept = [name for name in imports if name.split('.')[0] != PACKAGE]
    stock.pop('custom_imports', None)
    if kept:
        stock.custom_imports = dict(imports=kept, allow_failed_imports=False)
    return stock


def input_shape(cfg: Config) -> tuple[int, int, int]:
    """Return (channels, H, W) of an image that the model of a config takes.

    Channels are those of the preprocessor's ``mean`` if it normalises, else of the backbone;
    models that take any size get 128 x 128.

    Args:
        cfg: a complete segmentation config.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    mean = preprocessor.get('mean')
    if mean is None:
        backbone = cfg.model.get('backbone') or {}
        # ResNet and most say in_channels, timm's wrapper and some transformers in_chans
        channels = backbone.get('in_channels') or backbone.get('in_chans') or 3
    else:
        channels = len(mean)
    size = preprocessor.get('size') or (128, 128)
    height, width = (size, size) if isinstance(size, int) else size
    return int(channels), int(height), int(width)


def _registered() -> dict[str, type]:
    """Registered name -> class, over all registries of MMEngine and MMSegmentation."""
    return {
        name: cls
        for module in (mmengine.registry, mmseg.registry)
        for registry in vars(module).values()
        if isinstance(registry, Registry)
        for name, cls in registry.module_dict.items()
    }


def _stock(value: Any, key: str, ours: dict[str, type]) -> Any:
    """``value`` without anything of ours; ``_DROPPED`` if nothing is left."""
    if isinstance(value, (list, tuple)):
        elements = [_stock(item, f'{key}.{i}', ours) for i, item in enumerate(value)]
        return type(value)(item for item in elements if item is not _DROPPED)
    if not isinstance(value, dict):
        return copy.deepcopy(value)
    cls = ours.get(str(value.get('type')).rsplit('.', 1)[-1])
    if cls is not None and cls.__name__ in WRAPPERS:
        return _stock(value['dataset'], f'{key}.dataset', ours)
    if cls is not None:
        value = _counterpart(dict(value), cls, key)
        if value is _DROPPED:
            return value
    items = {name: _stock(item, f'{key}.{name}', ours) for name, item in value.items()}
    return {name: item for name, item in items.items() if item is not _DROPPED}


def _counterpart(config: dict, cls: type, key: str) -> Any:
    """The stock config that stands for a config of our class ``cls``."""
    if cls.__name__ in BESIDE and not key.endswith('.loss_decode'):
        return _DROPPED
    if '.loss_decode' in key:
        kept = {name: config[name] for name in ('avg_non_ignore', 'loss_name') if name in config}
        if isinstance(config.get('class_weight'), (list, str)):
            kept['class_weight'] = config['class_weight']
        weight = config.get('loss_weight', 1.0)
        return dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=weight, **kept)
    if cls.__name__ == MEASURED_BY:
        return dict(type='IoUMetric', iou_metrics=['mIoU'])
    if cls.__name__ == 'LoadLabelMap' and config.get('ignore_index', 255) > 255:
        raise ValueError(
            f'{key}.ignore_index: expected a label of 8 bits, got {config["ignore_index"]}. Plain '
            'MMSegmentation loads no wider label maps: evaluate with paco_seg'
        )
    own_classes = [parent for parent in cls.__mro__ if _module(parent) == PACKAGE]
    if any('get_label_map' in vars(parent) for parent in own_classes):
        raise ValueError(
            f'{key}.type: expected a data set whose labels plain MMSegmentation reads alike, got '
            f'{cls.__name__}, which maps them. Publish it without --stock'
        )
    if 'base_type' in config:
        base = mmseg.registry.MODELS.get(config.pop('base_type'))
    else:
        theirs = [
            parent
            for parent in cls.__mro__
            if _module(parent) != PACKAGE and _registered().get(parent.__name__) is parent
        ]
        if not theirs and 'hooks' in key:
            return _DROPPED
        if not theirs:
            raise ValueError(
                f'{key}.type: expected a class that extends a registered stock class, got '
                f'{cls.__name__}, which plain MMSegmentation cannot replace. Change this part of '
                'the config.'
            )
        base = theirs[0]
    own = named_arguments(own_classes)
    known = named_arguments(base.__mro__)
    for name, default in own.items():
        if name not in known:
            config.pop(name, None)
        elif name not in config and default is not inspect.Parameter.empty:
            config[name] = default
    meta = getattr(cls, 'METAINFO', {})
    if meta != getattr(base, 'METAINFO', {}):
        config['metainfo'] = dict(meta, **(config.get('metainfo') or {}))
    return dict(config, type=base.__name__)


def _module(cls: Any) -> str:
    return cls.__module__.split('.')[0]
