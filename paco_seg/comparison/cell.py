"""A cell: one training and its test in a folder of its own, with the result that it left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paco_seg.files import write_json

DONE = 'cell.json'
_SHOWN, _LENGTH = 3, 60  # changes that are named, and characters of a value


@dataclass(frozen=True)
class Cell:
    """One unit of work whose result is kept.

    A cell is done once its ``cell.json`` exists, which is written last. It is repeated only if
    what decides its result has changed.

    Args:
        name: folder below the root of the comparison, unique.
        commands: command lines for ``python -m``, first the module; ``{dir}`` stands for the folder
            of the cell.
        inputs: JSON; with ``commands`` all that decides the result.
        collect: reads the result, JSON, from the folder after the last command.
        cost: expected duration relative to other cells, for the estimate of the remaining time.
        progress: share of the cell that is done, from its folder while it runs.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    inputs: Mapping[str, Any]
    collect: Callable[[Path], dict]
    cost: float = 1.0
    progress: Callable[[Path], float] = lambda folder: 0.0

    @property
    def fingerprint(self) -> str:
        """Hash of the commands and inputs."""
        content = json.dumps([self.commands, self.inputs], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()

    def commands_in(self, folder: Path) -> list[tuple[str, ...]]:
        """Return the command lines for this folder."""
        # As the value of an option it is a text, whatever blanks and commas its path has.
        return [
            tuple(
                word.replace('={dir}', f'=={folder}').replace('{dir}', str(folder))
                for word in command
            )
            for command in self.commands
        ]

    def finished_result(self, folder: Path) -> dict | None:
        """Return the result in a folder; None for half-finished and outdated cells."""
        try:
            content = json.loads((folder / DONE).read_text())
        except (OSError, ValueError):
            return None
        return content['result'] if content.get('fingerprint') == self.fingerprint else None

    def what_changed(self, folder: Path) -> str | None:
        """Say what makes the finished result in a folder one of another cell; None if nothing does.

        Names the first keys that differ, with their values then and now.
        """
        try:
            before = json.loads((folder / DONE).read_text())
        except (OSError, ValueError):
            return None
        if before.get('fingerprint') == self.fingerprint:
            return None
        now = _flat(dict(commands=self.commands, inputs=self.inputs))
        then = _flat({key: before.get(key) for key in ('commands', 'inputs')})
        changed = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
        shown = [f'{key} was {then.get(key)}, is {now.get(key)}' for key in changed[:_SHOWN]]
        more = f', and {len(changed) - _SHOWN} more' * (len(changed) > _SHOWN)
        return '; '.join(shown) + more or 'its inputs changed'

    def finish(self, folder: Path, result: dict, seconds: float) -> None:
        """Write the result, which makes the cell done."""
        content = dict(
            fingerprint=self.fingerprint,
            name=self.name,
            seconds=seconds,
            result=result,
            # for what_changed
            commands=self.commands,
            inputs=json.loads(json.dumps(self.inputs, default=str)),
        )
        write_json(folder / DONE, content)


def _flat(value: Any, key: str = '') -> dict[str, str]:
    """Return nested JSON as dotted keys with their values in at most some characters."""
    items: Any = None
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    if not items:
        return {key: repr(value)[:_LENGTH]}
    found: dict[str, str] = {}
    for name, item in items:
        found |= _flat(item, f'{key}.{name}' if key else str(name))
    return found
