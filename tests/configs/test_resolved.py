"""Every config resolves to what it resolved to when its hashes were last written on purpose."""

import json

import pytest
from helpers.resolved_configs import SNAPSHOT, hashes, load_config, recipes

EXPECTED = json.loads(SNAPSHOT.read_text(encoding='utf-8'))
REMEDY = 'if that is meant, run `python tests/helpers/resolved_configs.py`, say so in CHANGELOG.md'


def test_snapshot_lists_every_config():
    assert sorted(EXPECTED) == recipes(), REMEDY


@pytest.mark.parametrize('name', recipes())
def test_resolves_to_the_same(name):
    found, expected = hashes(load_config(name)), EXPECTED[name]
    changed = sorted(
        key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)
    )
    assert changed == [], f'{name}: {", ".join(changed)} changed; {REMEDY}'
