"""Changes of single parts of a config's model: applied, written as a short config, and checked.

``seg`` and ``cls`` decide what to change (which head becomes what); this module knows how to do it
to a config in memory and in a file that inherits the original.
"""

from __future__ import annotations

import copy
import keyword
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.overrides import TorchFunctionMode

from paco_seg.engine.config_file import parse_config
from paco_seg.engine.pure_python_config import with_names
from paco_seg.engine.stages import stage

Key = str | int


@dataclass(frozen=True)
class ModelChange:
    """New settings of one part of a config, of ``cfg.model`` unless it names another root.

    Args:
        path: keys from the root to the part, e.g. ``('decode_head',)`` or, for the second head of
            a cascade, ``('decode_head', 1)``.
        settings: what is set there; other settings stay.
        root: key of the config that the path starts from; '' with an empty path sets keys of the
            config itself, such as ``load_from``.
    """

    path: tuple[Key, ...]
    settings: dict[str, Any]
    root: str = 'model'

    @property
    def key(self) -> str:
        """The config key of the part, as ``--cfg-options`` spells it."""
        return '.'.join([self.root, *map(str, self.path)]) if self.root else 'config'


@dataclass(frozen=True)
class Inherited:
    """Stands in the settings of a change for what the config has at a place.

    Args:
        place: keys from the top of the config.
    """

    place: tuple[Key, ...]

    def of(self, cfg: Config) -> Any:
        """Return a copy of what is there."""
        value: Any = cfg
        for key in self.place:
            value = value[key]
        return copy.deepcopy(value)


def read_config(source: str | os.PathLike, *, to_inherit: bool = True) -> Config:
    """Parse a config file or a packaged one such as ``mmseg::pspnet/....py``.

    Args:
        source: the file.
        to_inherit: whether another config is going to inherit it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a pure-Python config (``read_base``), which text configs cannot inherit,
            and is to be; or a module that it imports is not there.
    """
    name = str(source)
    path = Path(Config._get_cfg_path(name, '')[0]) if '::' in name else Path(name)
    if not path.is_file():
        raise FileNotFoundError(f'CONFIG: expected an existing config file, got {name!r}.')
    with stage(f'while reading {name}'):
        is_lazy = path.suffix == '.py' and Config._is_lazy_import(str(path))
    if is_lazy and to_inherit:
        raise ValueError(
            f'{name}: expected a config with `_base_` strings, got one with `read_base()` or '
            'imports, which no such config can inherit. Change its head as README.md shows, '
            'or dump it with Config.dump and use that file.'
        )
    with stage(f'while reading {name}'):
        return with_names(parse_config(path))


def starts_from_weights(cfg: Config) -> bool:
    """Tell whether a training of ``cfg`` starts from a checkpoint, of the model or of a part."""

    def named(part: Any) -> bool:
        if isinstance(part, dict):
            if part.get('pretrained') or (part.get('type') == 'Pretrained' and part['checkpoint']):
                return True
            return any(named(value) for value in part.values())
        return isinstance(part, (list, tuple)) and any(named(value) for value in part)

    return bool(cfg.get('load_from')) or named(cfg.get('model'))


def replacing(
    inherited: Mapping[str, Any], key: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return settings in the place of what a part of a config has under a key.

    MMEngine reads ``_delete_`` only where there is something to delete, be it None or a list;
    elsewhere it would reach the constructor.
    """
    return {**(dict(_delete_=True) if key in inherited else {}), **settings}


def replace_part(cfg: Mapping[str, Any], root: str, settings: Mapping[str, Any]) -> ModelChange:
    """Return the change that replaces a part at the top of a config."""
    return ModelChange((), replacing(cfg, root, settings), root)


def apply_changes(
    cfg: Config,
    changes: Sequence[ModelChange],
    imports: Sequence[str],
    hooks: Sequence[str] = (),
) -> Config:
    """A copy of ``cfg`` with the changes, the ``custom_imports`` and the ``custom_hooks``."""
    changed = copy.deepcopy(cfg)
    for change in changes:
        settings = _filled(change.settings, cfg)
        if change.path and isinstance(change.path[-1], int) and settings.pop('_delete_', False):
            # MMEngine empties parts of dicts alone.
            changed.merge_from_dict(
                {change.key.rsplit('.', 1)[0]: _with_item(changed, change, settings)}
            )
            continue
        changed.merge_from_dict({change.key: settings} if change.root else settings)
    changed.custom_imports = merged_imports(cfg, imports)
    if hooks:
        changed.custom_hooks = merged_hooks(cfg, hooks)
    return changed


def _with_item(cfg: Config, change: ModelChange, settings: dict[str, Any]) -> list[Any]:
    """The list that a change is about, with another element in its place."""
    items = list(Inherited((change.root, *change.path[:-1])).of(cfg))
    items[int(change.path[-1])] = settings
    return items


def _filled(value: Any, cfg: Config) -> Any:
    """A copy of settings with what they inherit."""
    if isinstance(value, Inherited):
        return value.of(cfg)
    if isinstance(value, dict):
        return {key: _filled(item, cfg) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(item, cfg) for item in value)
    return copy.deepcopy(value)


def merged_changes(changes: Sequence[ModelChange]) -> list[ModelChange]:
    """Join changes of one part of the config, later ones over earlier ones.

    A change below another one, through named parts alone, becomes part of that.
    """
    merged: dict[tuple[Key, ...], ModelChange] = {}
    for change in changes:
        settings = copy.deepcopy(change.settings)
        place = (change.root, *change.path)
        above = next((p for p in merged if _is_below(place, p)), None)
        if above is not None:
            for key in reversed(place[len(above) :]):
                settings = {str(key): settings}
            place = above
        for below in [p for p in merged if p != place and _is_below(p, place)]:
            inner = merged.pop(below).settings
            for key in reversed(below[len(place) :]):
                inner = {str(key): inner}
            settings = _over(settings, inner)
        before = merged[place].settings if place in merged else {}
        path, root = place[1:], str(place[0])
        merged[place] = ModelChange(path, _over(settings, before), root)
    return list(merged.values())


def _is_below(place: tuple[Key, ...], above: tuple[Key, ...]) -> bool:
    rest = place[len(above) :]
    return place[: len(above)] == above and all(isinstance(key, str) for key in rest)


def _over(settings: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Settings over earlier ones; a part with ``_delete_`` replaces what was there."""
    if settings.get('_delete_'):
        return settings
    both = {
        key: _over(value, before[key])
        for key, value in settings.items()
        if isinstance(value, dict) and isinstance(before.get(key), dict)
    }
    return {**before, **settings, **both}


def merged_imports(cfg: Config, imports: Sequence[str]) -> dict[str, Any]:
    """``custom_imports`` of ``cfg`` plus ``imports``."""
    own = cfg.get('custom_imports') or {}
    present = own.get('imports') or []
    present = [present] if isinstance(present, str) else list(present)
    return dict(
        imports=list(dict.fromkeys([*present, *imports])),
        allow_failed_imports=bool(own.get('allow_failed_imports', False)),
    )


def merged_hooks(cfg: Config, hooks: Sequence[str]) -> list[dict[str, Any]]:
    """``custom_hooks`` of ``cfg`` plus those of the given types that it lacks."""
    present = list(cfg.get('custom_hooks') or [])
    kinds = [type_name(hook) for hook in present]
    return [*present, *(dict(type=hook) for hook in hooks if hook not in kinds)]


def type_name(part: Mapping[str, Any]) -> str:
    """Return the type of a part of a config, a class or a name, without scope and module."""
    kind = part.get('type')
    return getattr(kind, '__name__', str(kind)).rsplit('.', 1)[-1]


def full_name(part: Mapping[str, Any], default: str = '') -> str:
    """Return the type of a part: a name as the config has it, a class with its module."""
    kind = part.get('type') or default
    return kind if isinstance(kind, str) else f'{kind.__module__}.{kind.__qualname__}'


def mmengine_name(part: Mapping[str, Any], default: str = '') -> str:
    """Return the type of a part, as :func:`type_name` does where the class is MMEngine's.

    A class of the same name elsewhere is another one: its name stays in full.
    """
    full = full_name(part, default)
    return full.rsplit('.', 1)[-1] if full.startswith('mmengine.') else full


def render_config(
    base: str,
    cfg: Config,
    changes: Sequence[ModelChange],
    imports: Sequence[str],
    hooks: Sequence[str] = (),
) -> str:
    """The text of a config that inherits ``base`` (parsed: ``cfg``) and states the changes."""
    imported = merged_imports(cfg, imports)
    if cfg.get('custom_imports', imported) is None:
        imported = replacing(cfg, 'custom_imports', imported)
    lines = [f'_base_ = {base!r}', f'custom_imports = {_value(imported)}']
    if hooks:
        lines.append(f'custom_hooks = {_value(merged_hooks(cfg, hooks))}')
    for root in dict.fromkeys(change.root for change in changes):
        own = [change for change in changes if change.root == root]
        if not root:
            lines += [f'{key} = {_value(item)}' for c in own for key, item in c.settings.items()]
            continue
        lines.append(f'{root} = {_part(cfg.get(root), (root,), own)}')
    return '\n'.join(lines) + '\n'


def _part(value: Any, path: tuple[Key, ...], changes: Sequence[ModelChange]) -> str:
    """Source text of the part of the config at ``path``, whose parsed content is ``value``."""
    # MMEngine merges dicts but replaces lists: what is in a list is stated in full.
    in_list = any(isinstance(key, int) for key in path)
    for change in changes:
        if (change.root, *change.path) == path:
            if not in_list:
                return _dict((key, _value(item)) for key, item in change.settings.items())
            if change.settings.get('_delete_'):
                own = {key: item for key, item in change.settings.items() if key != '_delete_'}
                return _value(_in_full(own, None))
            full = ((key, _in_full(item, value.get(key))) for key, item in change.settings.items())
            return _dict([(None, _inherited(path)), *((key, _value(item)) for key, item in full)])
    below = [c for c in changes if (c.root, *c.path)[: len(path)] == path]
    if not below:
        return _inherited(path)
    if isinstance(value, (list, tuple)):
        parts = [_part(item, (*path, i), changes) for i, item in enumerate(value)]
        return '[\n' + _indent(''.join(f'{part},\n' for part in parts)) + ']'
    # The root is the first key of a path.
    keys = dict.fromkeys(change.path[len(path) - 1] for change in below)
    items = ((str(key), _part(value[key], (*path, key), changes)) for key in keys)
    return _dict([(None, _inherited(path)), *items] if in_list else items)


def _in_full(setting: Any, inherited: Any) -> Any:
    """What a setting over an inherited value comes to, as MMEngine merges the two."""
    if not isinstance(setting, dict):
        return setting
    setting = dict(setting)
    if setting.pop('_delete_', False) or not isinstance(inherited, dict):
        inherited = {}
    own = {key: _in_full(item, inherited.get(key)) for key, item in setting.items()}
    return {**inherited, **own}


def _inherited(path: tuple[Key, ...]) -> str:
    steps = (f'[{key}]' if isinstance(key, int) else f'.{key}' for key in path)
    return f'_base_{"".join(steps)}'


def _value(value: Any) -> str:
    if isinstance(value, Inherited):
        return _inherited(value.place)
    if isinstance(value, dict):
        return _dict((key, _value(item)) for key, item in value.items())
    if isinstance(value, list):
        return f'[{", ".join(map(_value, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(_value, value))}{"," * (len(value) == 1)})'
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"  # inf is no name in a config
    return repr(value)


def _dict(items: Any) -> str:
    """``dict(...)`` on one line if it fits there, one item per line if not."""
    items = list(items)
    if not all(key is None or _is_argument(key) for key, _ in items):
        # Such as a mapping of labels.
        pairs = (f'**{text}' if key is None else f'{key!r}: {text}' for key, text in items)
        return f'{{{", ".join(pairs)}}}'
    parts = [text if key is None else f'{key}={text}' for key, text in items]
    line = f'dict({", ".join(parts)})'
    if len(line) <= 88 and '\n' not in line and not any('dict(' in part for part in parts):
        return line
    return 'dict(\n' + _indent(''.join(f'{part},\n' for part in parts)) + ')'


def _is_argument(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _indent(text: str) -> str:
    return ''.join(f'    {line}' for line in text.splitlines(keepends=True))


class _LinspaceOnCPU(TorchFunctionMode):
    """Stochastic depth reads its rates with ``.item()``, which meta tensors have not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.linspace:
            kwargs = dict(kwargs, device='cpu')
        return func(*args, **kwargs)


@contextmanager
def without_memory() -> Iterator[None]:
    """Build modules on the meta device: shapes and names, no weights."""
    with torch.device('meta'), _LinspaceOnCPU():
        yield


def build_without_memory(cfg: Config) -> nn.Module:
    """The model of ``cfg`` on the meta device: shapes and names, no weights, no downloads."""
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope), without_memory():
        return MODELS.build(copy.deepcopy(cfg.model))
