"""Which keys of a config are dicts, and which are lists of dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

# Keys of MMEngine's Runner whose value is a dict; with a star, each value of a dict.
DICTS = (
    'model',
    'model.data_preprocessor',
    'data_preprocessor',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'optim_wrapper',
    'optim_wrapper.optimizer',
    'optim_wrapper.paramwise_cfg',
    'optim_wrapper.clip_grad',
    'default_hooks',
    'default_hooks.*',
    'randomness',
    'env_cfg',
    'auto_scale_lr',
    'custom_imports',
    'log_processor',
    'visualizer',
    'model_wrapper_cfg',
    'strategy',
    'tta_model',
)
# Those of them that MMEngine reads without asking whether they are None.
NEVER_NONE = ('randomness', 'env_cfg')
# Keys whose value is a list of dicts, and those that may be a single dict as well.
LISTS = ('custom_hooks', 'tta_pipeline')
DICTS_OR_LISTS = (
    'param_scheduler',
    'val_evaluator',
    'test_evaluator',
    # Parts that MMEngine makes a sequence of, such as the neck of HRNet.
    'model.backbone',
    'model.neck',
    'model.decode_head',
    'model.auxiliary_head',
    'model.head',
)


def check_kinds(cfg: Config, source: str) -> None:
    """Refuse a word, a number or a list where MMEngine reads a dict.

    Such a value comes from ``--cfg-options`` (``optim_wrapper=SGD``) or a bracket too few, and
    would end in an error of Python that names no key. ``None`` passes where MMEngine takes it, and
    absent keys do.

    Args:
        cfg: the complete config; types are names.
        source: the file, for errors.

    Raises:
        ValueError: names the file, the key, the value and what is expected.
    """
    for pattern in DICTS:
        for key, value in _find(cfg, pattern):
            if value is not None and not isinstance(value, Mapping):
                raise _error(source, key, 'a dict', value, f'Set keys in it: {key}.NAME')
    for key in NEVER_NONE:
        if cfg.get(key, {}) is None:
            raise _error(source, key, 'a dict', None, 'Leave it out')
    for pattern in (*LISTS, *DICTS_OR_LISTS):
        for key, value in _find(cfg, pattern):
            if value is None or (pattern in DICTS_OR_LISTS and isinstance(value, Mapping)):
                continue
            if not isinstance(value, (list, tuple)):
                wanted = 'a list of dicts' if pattern in LISTS else 'a dict, or a list of dicts'
                raise _error(source, key, wanted, value, f'Write {key}=[dict(...)]')
            for number, item in enumerate(value):
                if not isinstance(item, Mapping):
                    place = f'{key}[{number}]'
                    raise _error(source, place, 'a dict', item, 'Write dict(type=...)')


def _find(cfg: Any, pattern: str) -> Iterator[tuple[str, Any]]:
    """Give the keys that a pattern means, with their values."""
    first, _, rest = pattern.partition('.')
    names = list(cfg) if first == '*' else [first]
    for name in names:
        value = cfg.get(name)
        if not rest:
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f'{name}.{key}', found) for key, found in _find(value, rest))


def _error(source: str, key: str, wanted: str, value: Any, remedy: str) -> ValueError:
    shown = repr(value)
    if len(shown) > 80:
        shown = f'a {type(value).__name__}'
    return ValueError(f'{source}: {key}: expected {wanted}, got {shown}. {remedy}')
