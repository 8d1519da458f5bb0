"""The config text inside a checkpoint, read as data: never run, never built from foreign names.

MMEngine writes the config of the training into ``meta.cfg``, as Python. A stranger's file may hold
anything there, and what a config names, MMEngine imports and calls: ``type='os.system'`` works.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

# Packages whose registries a config may name and whose modules it may import.
PACKAGES = ('paco_seg', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'mmdet')
# Keys whose value is looked up in a registry, and from there in all of Python.
TYPE_KEYS = (
    'type',
    'base_type',
    'ema_type',
    'runner_type',
    'constructor',
    'auto_wrap_policy',
    'check_fn',
)
# What may follow the dot of a file name, which is then no name in a module (test.txt).
FILE_ENDINGS = ('.txt', '.json', '.csv', '.npy', '.npz', '.pth', '.pt', '.png', '.jpg', '.py')
REMEDY = 'If you know the training, pass its config file with --config'


def config_from_text(text: str, source: str) -> Config:
    """The config in a checkpoint's ``meta``, read without running it.

    Args:
        text: assignments of plain values and ``dict(...)``, as ``Config.dump`` writes them.
        source: the file, for errors.

    Raises:
        ValueError: the text contains anything else.
    """
    try:
        return Config({name: _literal(value) for name, value in _assignments(ast.parse(text))})
    # Deep nesting ends the parser in one of the last two.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f'{source}: meta.cfg: expected a dumped config of plain values, got {error}. Pass the '
            'config file with --config'
        ) from error


def check_config_of_stranger(cfg: Config, source: str) -> None:
    """Refuse a config from a checkpoint that names anything but registered classes.

    It also looks at what would become code once the config is written to a file and read again:
    MMEngine prints keys without escaping them and replaces ``{{...}}`` in the text of a file.

    Args:
        cfg: a config that :func:`config_from_text` read.
        source: the file, for errors.

    Raises:
        ValueError: names the key, the value and the remedy.
    """
    registered = _registered_names()
    for key, value in _walk(cfg.to_dict(), ''):
        last = key.rsplit('.', 1)[-1]
        if last in TYPE_KEYS and isinstance(value, str) and value not in registered:
            raise ValueError(
                f'{source}: meta.cfg: {key}: expected a class that the MM packages registered, '
                f'got {value!r}. {REMEDY}'
            )
        # Other keys may reach a registry too, some day or in some class: none is told where.
        imported = key.startswith('custom_imports.')  # looked at below
        if not imported and isinstance(value, str) and _names_foreign_code(value, registered):
            raise ValueError(
                f'{source}: meta.cfg: {key}: expected a plain value, got {value!r}, which names '
                f'something in a Python package. {REMEDY}'
            )
        if last == 'trust_remote_code' and value:
            raise ValueError(
                f'{source}: meta.cfg: {key}: expected False, got {value!r}, which runs code from '
                f'the network. {REMEDY}'
            )
        if last == '_scope_' and value not in PACKAGES:
            raise ValueError(
                f'{source}: meta.cfg: {key}: expected one of {PACKAGES}, got {value!r}. {REMEDY}'
            )
        if key == '_base_' or (isinstance(value, str) and '{{' in value):
            raise ValueError(
                f'{source}: meta.cfg: {key}: expected a plain value, got {value!r}, which would '
                f'read other files or settings. {REMEDY}'
            )
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    for name in [imports] if isinstance(imports, str) else imports:
        if str(name).split('.')[0] not in PACKAGES:
            raise ValueError(
                f'{source}: meta.cfg: custom_imports.imports: expected modules of {PACKAGES}, got '
                f'{name!r}. {REMEDY}'
            )


def _walk(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value of nested dicts and lists with its dotted key, containers included."""
    yield key, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f'{key}.{name}' if key else str(name))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _walk(item, f'{key}[{number}]')


def _names_foreign_code(value: str, registered: set[str]) -> bool:
    """Whether a lookup of this name would import a module; nothing is imported to find out."""
    if value in registered or not re.fullmatch(r'[^\W\d]\w*(\.[^\W\d]\w*)+', value):
        return False
    if PurePath(value).suffix in FILE_ENDINGS:
        return False
    try:
        return importlib.util.find_spec(value.partition('.')[0]) is not None
    except ValueError:  # a module without a spec, such as __main__
        return True


def _registered_names() -> set[str]:
    """Every name by which a config may call for a registered class: bare, scoped or in full."""
    modules = [sys.modules.get(f'{package}.registry') for package in PACKAGES]
    found = [item for module in modules if module for item in vars(module).values()]
    # MMPretrain has registries without a parent: batch augmentations, tokenizers.
    roots = {id(item): item for item in found if isinstance(item, Registry) and not item.parent}
    names: set[str] = set()
    for root in roots.values():
        for registry in (root, *root.children.values()):
            registry.import_from_location()  # as a lookup does; registers what the package has
            for name, cls in registry.module_dict.items():
                names |= {name, f'{registry.scope}.{name}'}
                if registry.scope == root.scope:
                    # A child finds what its root has: mmseg.BN is mmcv's.
                    names |= {f'{scope}.{name}' for scope in PACKAGES}
                names.add(f'{cls.__module__}.{getattr(cls, "__qualname__", name)}')
    return names


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            raise ValueError(f'the statement {ast.unparse(node)[:60]!r}')
        yield node.targets[0].id, node.value


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if len(node.args) <= 1 and all(item.arg for item in node.keywords):
            # dict({'not-a-name': 1}, name=2)
            given = _literal(node.args[0]) if node.args else {}
            if isinstance(given, dict):
                return given | {item.arg: _literal(item.value) for item in node.keywords}
    elif isinstance(node, ast.Dict):
        return {
            _key(key): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None  # None stands for **, which no dump contains
        }
    elif isinstance(node, (ast.List, ast.Tuple)):
        items = [_literal(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    else:
        return ast.literal_eval(node)
    raise ValueError(f'the expression {ast.unparse(node)[:60]!r}')


def _key(node: ast.expr) -> Any:
    """A key that a dump of the config writes as it reads here: MMEngine does not escape keys."""
    key = _literal(node)
    if isinstance(key, str) and any(sign in key for sign in '\'"\\\n\r{}'):
        raise ValueError(f'the key {key!r}')
    return key
