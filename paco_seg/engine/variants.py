"""A system with settings of its own as a system: ``gpaco@loss_weight=0.1@num_pixels=1024``.

With it a comparison has a row for each value of a setting, beside the system or without it. The
name is the whole definition, hence also that of the folders of its trainings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, Systems, TrainingSystem

FIXED = '@'  # ahead of each setting
# What a folder may be named everywhere, and no list for a command line.
_SETTING = re.compile(r'([A-Za-z_][\w.+-]*)=([\w.+-]+)')


def variant_name(system: str, settings: Mapping[str, Any]) -> str:
    """Return the name of a system with settings.

    Args:
        system: name of a system or combination.
        settings: numbers, words, True, False or None.

    Raises:
        ValueError: a value cannot be part of a name.
    """
    name = system + ''.join(f'{FIXED}{key}={value}' for key, value in settings.items())
    split_name(name)
    return name


def split_name(name: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the system, and the settings that follow it.

    Raises:
        ValueError: what follows is no setting, or one is given twice.
    """
    system, *parts = name.split(FIXED)
    settings: dict[str, Any] = {}
    for part in parts:
        found = _SETTING.fullmatch(part)
        if found is None or found[1] in settings:
            raise ValueError(
                f'system: expected {system}{FIXED}SETTING=VALUE with each setting once, and a '
                f'number, a word, True, False or None as its value, got {name!r}. Correct {part!r}'
            )
        settings[found[1]] = _value(found[2])
    return system, settings


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def resolve_variant(systems: Systems, name: str) -> TrainingSystem:
    """Return a system, a combination, or either with settings.

    Args:
        systems: of the task.
        name: such as ``a``, ``a+b``, ``a@x=1`` or ``a+b@a.x=1@b.y=2``.

    Raises:
        ValueError: a name is unknown, two systems do not combine, or a setting is malformed.
            Whether the system knows a setting is found when it is put on a config.
    """
    base, settings = split_name(name)
    system = systems.resolve(base)
    return fixed(system, settings) if settings else system


def fixed(system: TrainingSystem, settings: Mapping[str, Any]) -> TrainingSystem:
    """Return a system whose settings are given once and for all; the others may be searched."""

    def change(cfg: Config, given: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
        return list(system.changes(cfg, {**given, **settings}, inputs))

    told = ', '.join(f'{key} {value}' for key, value in settings.items())
    return replace(
        system,
        name=variant_name(system.name, settings),
        title=f'{system.title}, {told}',
        summary=f'{system.summary}; {told}',
        change=change,
        settings={},  # those of the system, which it completes itself
        passes_on=True,
        search={
            key: values
            for key, values in system.search.items()
            # 'loss_weight' of a combination is that of every system that has one
            if key not in settings and key.rpartition('.')[2] not in settings
        },
        combines_with=(),
        variant_of=system,
    )
