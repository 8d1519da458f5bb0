"""Pure-Python configs, whose parts name their classes by importing them.

All else here compares names: which hook writes checkpoints, which step loads images. MMEngine reads
both kinds of config, so that one with names in the place of classes means the same.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import Registry
from mmengine.utils import get_object_from_string

# Keys whose value a registry turns into what it names.
KEYS = ('type', 'base_type', 'constructor')
# Whose names need no import: MMEngine and the package of the config's task know them.
KNOWN = ('mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'torch')


def with_names(cfg: Config) -> Config:
    """Return a pure-Python config with the registered names of its classes; others as they are.

    What is registered elsewhere, or under a name that means something else in the scope of the
    config, is named in full.

    Args:
        cfg: as read.
    """
    imported = getattr(cfg, '_imported_names', None)
    if not imported:
        return cfg
    names = _names(cfg.get('default_scope'))
    content = {key: _named(value, key, names) for key, value in cfg.items() if key not in imported}
    return Config(content, filename=cfg.filename)


def _named(value: Any, key: Any, names: dict[Any, str]) -> Any:
    if isinstance(value, (LazyAttr, LazyObject)):
        value = value.build()
    if isinstance(value, dict):
        return {name: _named(item, name, names) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_named(item, None, names) for item in value)
    if key in KEYS and hasattr(value, '__qualname__'):
        if value.__module__.split('.')[0] in KNOWN and value in names:
            return names[value]
        full = f'{value.__module__}.{value.__qualname__}'
        return full if get_object_from_string(full) is value else value
    return value


def _names(scope: str | None) -> dict[Any, str]:
    """Return class -> name, of those that a name means in every registry of a scope."""
    if scope in KNOWN:
        import_module(scope)
    meant: dict[str, set[Any]] = {}
    for root in vars(mmengine.registry).values():
        if isinstance(root, Registry):
            classes: dict[str, Any] = {}
            for registry in (root, root.children.get(str(scope))):
                if registry is not None:  # an empty one counts as false
                    registry.import_from_location()
                    classes |= registry.module_dict
            for name, cls in classes.items():
                meant.setdefault(name, set()).add(cls)
    return {cls: name for name, classes in meant.items() if len(classes) == 1 for cls in classes}
