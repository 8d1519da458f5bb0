"""What every config resolves to, as one hash per top-level key.

``python tests/helpers/resolved_configs.py`` writes the hashes after an intended change; a change
that was not intended makes ``tests/configs/test_resolved.py`` name the file and the key.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.config import Config

import paco_seg.seg  # noqa: F401  (makes `mmseg::` inheritance work)
from paco_seg.files import write_text

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
SNAPSHOT = ROOT / 'tests' / 'configs' / 'resolved.json'


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
    lines = [f'{json.dumps(name)}: {json.dumps(hashes(load_config(name)))}' for name in recipes()]
    return '{\n' + ',\n'.join(lines) + '\n}\n'


if __name__ == '__main__':
    write_text(SNAPSHOT, snapshot())
