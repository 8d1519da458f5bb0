"""Every stock config of a package through training systems: which of them work, and why not."""

from __future__ import annotations

import copy
import json
import re
import tempfile
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.cli import PLUGINS
from paco_seg.engine.model_changes import (
    ModelChange,
    apply_changes,
    build_without_memory,
    read_config,
    render_config,
    without_memory,
)
from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.files import write_json

_UNKNOWN = 2  # classes, where a head states none
WEIGHTS = 'source.pth'  # no training starts: nothing is read


class Outcome(NamedTuple):
    """What became of one stock config: 'swapped', 'refused' or 'not buildable', and why."""

    name: str
    state: str
    reason: str = ''


# What no system looks at or changes: configs that differ in it alone share an outcome.
DROPPED = (
    'optim_wrapper',
    'optimizer',
    'param_scheduler',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
    'val_cfg',
    'test_cfg',
    'tta_model',
    'tta_pipeline',
    'default_hooks',
)
LENGTHS = ('max_iters', 'max_epochs', 'val_interval')
CHANGED = ('model', 'train_dataloader', 'data_preprocessor', 'custom_hooks', 'custom_imports')
_seen: dict[str, list[Outcome]] = {}


def pretended_frequency(cfg: Config) -> ClassFrequency:
    """Return frequencies of as many classes as the main head of a config has; none is rare."""
    model = cfg.get('model') or {}
    counts = tuple(range(100, 100 + _num_classes(model.get('decode_head') or model.get('head'))))
    return ClassFrequency(None, counts, counts, sum(counts))


def _num_classes(part: Any) -> int:
    """Find the number of classes of the last head that states one; 2 where none does."""
    if isinstance(part, dict):
        if isinstance(part.get('num_classes'), int):
            return part['num_classes']
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        found = [_num_classes(item) for item in part if isinstance(item, (dict, list, tuple))]
        return next((number for number in reversed(found) if number != _UNKNOWN), _UNKNOWN)
    return _UNKNOWN


# The folder in front of an installed file, which is another one on every machine.
_INSTALLED_IN = re.compile(r'/\S*/site-packages/(\S+/\.mim/configs/)?')


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type; installed files by short names."""
    message = _INSTALLED_IN.sub('', str(error))
    lines = [line for line in message.splitlines() if line.strip()]
    return f'{type(error).__name__}: {lines[0].strip()}' if lines else type(error).__name__


def try_stock_config(
    path: str, folder: Path, names: Sequence[str], settings: dict[str, Any]
) -> list[Outcome]:
    """Swap one stock config with each system.

    The stock model is built once; then each system's text is parsed, and the parts of the model
    that it changes are built.

    Args:
        path: of the config.
        folder: that its name in the outcome is relative to.
        names: of systems of its task.
        settings: of all of them.

    Returns:
        An outcome per system; tells a refusal from a model that cannot be built either way.
    """
    warnings.simplefilter('ignore')
    name = str(Path(path).relative_to(folder))
    try:
        cfg = read_config(path)
        kept = Config({key: value for key, value in cfg.items() if key not in DROPPED})
        same = _identity(kept, names, settings)
        if same in _seen:
            return [outcome._replace(name=name) for outcome in _seen[same]]
        build_without_memory(cfg)
        systems = import_module(f'{PLUGINS[cfg.default_scope]}.systems').SYSTEMS
    except Exception as error:  # any package may raise anything: the list is the purpose
        reason = f'stock model: {one_line(error)}'
        return [Outcome(name, 'not buildable', reason)] * len(names)
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        # Parsed once per config, not once per system. Tuples become lists in it.
        base = Path(scratch) / 'base.json'
        base.write_text(json.dumps(kept.to_dict(), default=str), encoding='utf-8')
        frequency = Path(scratch) / 'frequency.json'
        save_class_frequency(pretended_frequency(kept), frequency)
        inputs = SystemInputs(frequency_file=str(frequency), weights=WEIGHTS)
        for system in names:
            try:
                _try_system(kept, systems.resolve(system), settings, inputs, base)
                outcomes.append(Outcome(name, 'swapped'))
            except Exception as error:
                outcomes.append(Outcome(name, 'refused', one_line(error)))
    _seen[same] = outcomes
    return outcomes


def _try_system(
    cfg: Config,
    system: TrainingSystem,
    settings: dict[str, Any],
    inputs: SystemInputs,
    base: Path,
) -> None:
    """Swap a config in memory and in a file, which have to agree, and build what is new."""
    changes = system.changes(cfg, settings, inputs)
    changed = apply_changes(cfg, changes, system.imports, system.hooks)
    written = base.with_name('swapped.py')
    text = render_config(base.name, cfg, changes, system.imports, system.hooks)
    written.write_text(text, encoding='utf-8')
    parsed = Config.fromfile(written)
    for root in CHANGED:
        if _plain(parsed.get(root)) != _plain(changed.get(root)):
            raise AssertionError(f'{root}: the written config is not the changed one')
    _build_changed(changed, changes)


def _identity(cfg: Config, names: Sequence[str], settings: dict[str, Any]) -> str:
    content = _plain(cfg)
    for key in LENGTHS:
        (content.get('train_cfg') or {}).pop(key, None)
    return json.dumps([content, names, settings], default=str)


def _plain(value: Any) -> Any:
    value = value.to_dict() if isinstance(value, Config) else value
    return json.loads(json.dumps(value, default=str))


def _build_changed(cfg: Config, changes: Sequence[ModelChange]) -> None:
    """Build the changed parts of a model if they can be built alone, else all of it."""
    parts = []
    for change in changes:
        if change.root != 'model':
            continue
        part: Any = cfg.model
        for key in change.path:
            part = part[key]
        if not change.path or not isinstance(part, dict) or 'type' not in part:
            build_without_memory(cfg)
            return
        parts.append(part)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), without_memory():
        for part in parts:
            MODELS.build(copy.deepcopy(part))


def _try_shared(shared: tuple[Path, Sequence[str], dict[str, Any]], path: str) -> list[Outcome]:
    return try_stock_config(path, *shared)


def check_all(
    scope: str,
    names: Sequence[str],
    settings: dict[str, Any],
    *,
    jobs: int,
    out: str | None = None,
) -> None:
    """Try every stock config of a package; print the counts and the exceptions.

    Args:
        scope: the package.
        names: systems of its task.
        settings: of all of them.
        jobs: number of processes.
        out: JSON file of counts and reasons; None = none.
    """
    import_module(PLUGINS[scope])
    folder = Path(str(import_module(scope).__file__)).parent / '.mim' / 'configs'
    paths = sorted(str(path) for path in folder.rglob('*.py') if '_base_' not in path.parts)
    results = list(map_in_parallel(_try_shared, (folder, names, settings), paths, jobs, 8))
    # What does not build without a system does not build for any.
    broken = {row[0].name: row[0].reason for row in results if row[0].state == 'not buildable'}
    for name, reason in broken.items():
        print(f'not buildable: {name}: {reason}')
    found: dict[str, dict[str, Any]] = {}
    for index, system in enumerate(names):
        column = [row[index] for row in results]
        refused = {o.name: o.reason for o in column if o.state == 'refused'}
        swapped = sum(outcome.state == 'swapped' for outcome in column)
        found[system] = dict(swapped=swapped, refused=refused)
        print(f'\n{system}')
        for name, reason in refused.items():
            print(f'refused: {name}: {reason}')
        print(
            f'{swapped} of {len(paths)} stock configs of {scope} swapped and built; '
            f'{len(refused)} refused; {len(broken)} whose stock model does not build here'
        )
    if out is not None:
        write_json(
            out,
            dict(scope=scope, configs=len(paths), not_buildable=broken, systems=found),
        )
