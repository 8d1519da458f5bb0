"""Every config resolves to what it resolved to when its hashes were last written on purpose."""

import json
import re

import pytest
from helpers.resolved_configs import (
    CONFIGS,
    SNAPSHOT,
    hashes,
    load_config,
    load_system,
    recipes,
    systems,
)
from mmengine.config import Config

EXPECTED = json.loads(SNAPSHOT.read_text(encoding='utf-8'))
REMEDY = 'if that is meant, run `python tests/helpers/resolved_configs.py`, say so in CHANGELOG.md'


def test_snapshot_lists_every_config():
    assert sorted(EXPECTED) == sorted([*recipes(), *systems()]), REMEDY


def changed(found, expected):
    return sorted(
        key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)
    )


@pytest.mark.parametrize('name', recipes())
def test_resolves_to_the_same(name):
    keys = changed(hashes(load_config(name)), EXPECTED[name])
    assert keys == [], f'{name}: {", ".join(keys)} changed; {REMEDY}'


def test_systems_of_the_suites_resolve_to_the_same():
    for name in systems():
        keys = changed(hashes(load_system(name)), EXPECTED[name])
        assert keys == [], f'{name}: {", ".join(keys)} changed; {REMEDY}'


def levels(path):
    """How many files of this repository stand above a config, along the longest line."""
    bases = [base for base in Config._get_base_files(str(path)) if '::' not in base]
    return 1 + max((levels((path.parent / base).resolve()) for base in bases), default=-1)


def test_inheritance_stays_shallow():
    """A reader follows at most four files of ours from a recipe down to its first base."""
    deep = {name: depth for name in recipes() if (depth := levels(CONFIGS / name)) > 4}
    assert deep == {}


def test_comments_name_tables_and_sources_and_no_ids():
    """The rows of ``recipes_*.yaml`` have ids; nobody who reads a config knows them."""
    ids = re.compile(r'(?<![\w-])[PGMSE]\d{1,2}[a-z]?(?![\w-])')
    files = [*CONFIGS.rglob('*.py'), *CONFIGS.rglob('*.md'), *CONFIGS.rglob('*.yml')]
    assert [str(path) for path in files if ids.search(path.read_text(encoding='utf-8'))] == []
