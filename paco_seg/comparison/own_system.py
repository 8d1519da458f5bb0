"""A system on a config that is one already: a published recipe with its own settings.

Such a config is stripped to the baseline before another system is put on it. The system that it is
itself stays as the config has it, apart from what a search tries, also as a part of a combination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange, apply_changes, merged_changes
from paco_seg.engine.systems import JOINT, SystemInputs, TrainingSystem
from paco_seg.engine.variants import split_name


def changes_on(
    cfg: Config,
    system: TrainingSystem,
    baseline: TrainingSystem,
    settings: Mapping[str, Any],
    inputs: SystemInputs,
) -> list[ModelChange]:
    """Return the changes of a system, through the baseline if the config is a system already.

    Args:
        cfg: the config.
        system: what it becomes.
        baseline: what takes the own system of a config out.
        settings: of the system.
        inputs: of the system.

    Raises:
        ValueError: the system cannot serve the config, nor what the baseline makes of it.
    """
    stripped = [] if system.name == baseline.name else list(baseline.changes(cfg, {}, inputs))
    stock = apply_changes(cfg, stripped, ()) if stripped else cfg
    of_recipe = parts_beside(stock.model, cfg.model)
    if not of_recipe:
        return list(system.changes(cfg, settings, inputs))
    own = list(system.changes(stock, {}, inputs))
    of_system = parts_beside(stock.model, apply_changes(stock, own, ()).model)
    if of_recipe < of_system and JOINT in system.name:
        # A combination with the system that it is, which keeps its settings in it.
        return list(system.changes(cfg, settings, inputs))
    if of_recipe != of_system:
        return merged_changes([*stripped, *system.changes(stock, settings, inputs)])
    # It is this system: what is asked for changes, and nothing else.
    asked = {**split_name(system.name)[1], **settings}
    system = system.variant_of or system

    def model(settings: Mapping[str, Any]) -> dict[str, Any]:
        changed = apply_changes(stock, system.changes(stock, settings, inputs), ())
        return dict(changed.model.to_dict())

    tried = model(asked)
    return merged_changes(
        [
            ModelChange((), difference)
            for key in asked
            if (difference := differing(model(otherwise(system, asked, key)), tried))
        ]
    )


def otherwise(system: TrainingSystem, asked: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return what is asked for with another value of one setting, or without it.

    What a system makes of the two differs where the setting goes; its default alone would not tell,
    for it may be what is asked for.
    """
    rest = {name: value for name, value in asked.items() if name != key}
    others = [value for value in system.search.get(key, ()) if value != asked[key]]
    is_default = key in system.settings and system.settings[key] == asked[key]
    return {**rest, key: others[0]} if is_default and others else rest


def parts_beside(stock: Any, changed: Any, key: str = '') -> set[str]:
    """Return what makes a model another one: types that differ, and parts that are new.

    A new part counts with its type and the names of its parts, not with its settings.
    """
    if not isinstance(changed, Mapping):
        return set()
    found = set()
    for name, value in changed.items():
        before = stock.get(name) if isinstance(stock, Mapping) else None
        path = f'{key}.{name}'
        if name in ('type', 'base_type') and value != before:
            found.add(f'{path}={value}')
        elif isinstance(value, Mapping):
            found |= {path} if before is None else set()
            found |= parts_beside(before, value, path)
    return found


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``after`` that ``before`` has not, nested."""
    found: dict[str, Any] = {}
    for key, value in after.items():
        if isinstance(value, Mapping) and isinstance(before.get(key), Mapping):
            inner = differing(before[key], value)
            if inner:
                found[key] = inner
        elif key not in before or before[key] != value:
            found[key] = value
    return found
