"""What every config, and every system of the suites, resolves to: a hash per top-level key.

``python tests/helpers/resolved_configs.py`` writes the hashes after an intended change; a change
that was not intended makes ``tests/configs/test_resolved.py`` name the file and the key.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.config import Config

import paco_seg.seg  # noqa: F401  (makes `mmseg::` inheritance work)
from paco_seg.comparison.study import System, resolved_config
from paco_seg.comparison.suite_configs import write_configs
from paco_seg.comparison.suites import SUITES
from paco_seg.files import write_text

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
SNAPSHOT = ROOT / 'tests' / 'configs' / 'resolved.json'
ALL_SYSTEMS = ('demo-cls', 'demo-seg')  # the suites of all systems of a task
WRITTEN = tempfile.TemporaryDirectory()  # gone with the process


@functools.cache
def _parse_once(*args: object, **kwargs: object) -> tuple:
    return _PARSE(*args, **kwargs)


def _parse(*args: object, **kwargs: object) -> tuple:
    """Return a copy of what the file resolves to; most bases serve dozens of configs."""
    variables, text, environment = _parse_once(*args, **kwargs)
    return copy.deepcopy(variables), text, dict(environment)


_PARSE = Config._file2dict


@functools.cache
def load_config(name: str) -> Config:
    """Return the config of a path below ``configs/``; copy it before you change it."""
    with mock.patch.object(Config, '_file2dict', staticmethod(_parse)):
        return Config.fromfile(CONFIGS / name)


def recipes() -> list[str]:
    """Name every config that a user can train or test, relative to ``configs/``."""
    names = (path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob('*/*.py'))
    return sorted(name for name in names if not name.startswith('_base_/'))


@functools.cache
def written_systems(suite: str) -> dict[str, System]:
    """Return the systems of a suite by name, with the configs that a run would write."""
    chosen = SUITES[suite]
    assert chosen.data is not None
    frequencies = f'{chosen.data.folder}/{chosen.data.frequencies}'
    found = write_configs(chosen.study.systems, Path(WRITTEN.name) / suite, frequencies)
    return {system.name: system for system in found}


def systems() -> list[str]:
    """Name every system of the suites, as ``suites/SUITE/SYSTEM``."""
    return sorted(
        f'suites/{suite}/{name}' for suite in ALL_SYSTEMS for name in written_systems(suite)
    )


def load_system(name: str) -> Config:
    """Return the config that a run of the suite would write for a system."""
    _, suite, system = name.split('/')
    return Config(resolved_config(written_systems(suite)[system].config, {}))


def _canonical(value: Any) -> Any:
    """Tell tuples from lists, and name files of this repository independently of its place."""
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {'tuple': [_canonical(item) for item in value]}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, str) and value.startswith(str(ROOT)):
        return os.path.relpath(value, ROOT)
    return value


def hashes(config: Config) -> dict[str, str]:
    """Return the first 8 hexadecimal digits of the SHA-256 of every top-level key."""
    found = {}
    for key, value in sorted(config.to_dict().items()):
        text = json.dumps(_canonical(value), sort_keys=True)
        found[key] = hashlib.sha256(text.encode()).hexdigest()[:8]
    return found


def snapshot() -> str:
    """Return the text of the committed file: one line per config."""
    found = {name: hashes(load_config(name)) for name in recipes()}
    found |= {name: hashes(load_system(name)) for name in systems()}
    lines = [f'{json.dumps(name)}: {json.dumps(value)}' for name, value in found.items()]
    return '{\n' + ',\n'.join(lines) + '\n}\n'


if __name__ == '__main__':
    write_text(SNAPSHOT, snapshot())
