"""The blocks of README.md and of the other documents are those that ``docs/build.py`` renders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.head_zoo import NEEDS_OPS
from helpers.resolved_configs import recipes

from tests.conftest import load_script

ROOT = Path(__file__).parents[1]
BUILD = load_script(ROOT / 'docs' / 'build.py')
SECTIONS = BUILD.SECTIONS


@pytest.mark.parametrize(
    ('file', 'name'), [(file, name) for file, found in SECTIONS.items() for name in found]
)
def test_tables_state_the_committed_figures(file, name):
    text = (ROOT / file).read_text()
    start, end = BUILD.section(text, name)
    assert text[start:end].strip() == SECTIONS[file][name]().strip()


@pytest.mark.parametrize('file', SECTIONS)
def test_linked_files_exist(file):
    text = (ROOT / file).read_text()
    targets = [part.split(')')[0].split('#')[0] for part in text.split('](')[1:]]
    local = [target for target in targets if target and '://' not in target]
    assert [target for target in local if not (ROOT / file).parent.joinpath(target).exists()] == []
    assert local or file == 'docs/decode_heads.md'


@pytest.mark.parametrize('document', ['README.md', 'docs/decode_heads.md'])
def test_check_names_a_stale_block_and_writes_nothing(document, monkeypatch, capsys):
    before = (ROOT / document).read_text()
    (name, *_) = SECTIONS[document]
    monkeypatch.setattr(BUILD, 'SECTIONS', {document: {name: lambda: 'other figures'}})
    assert BUILD.main(['--check']) == 1
    assert capsys.readouterr().err == (
        f'{document}: expected the block {name} to follow its source. Run python docs/build.py\n'
    )
    assert (ROOT / document).read_text() == before


def test_build_renders_a_block_and_leaves_the_rest(tmp_path, monkeypatch):
    (tmp_path / 'a.md').write_text('one\n\n<!-- x:table -->\nold\n<!-- /x:table -->\n\ntwo\n')
    monkeypatch.setattr(BUILD, 'ROOT', tmp_path)
    monkeypatch.setattr(BUILD, 'SECTIONS', {'a.md': {'x:table': lambda: '| new |'}})
    assert BUILD.main(['--check']) == 1
    assert BUILD.main([]) == BUILD.main(['--check']) == 0
    assert (tmp_path / 'a.md').read_text() == (
        'one\n\n<!-- x:table -->\n\n| new |\n\n<!-- /x:table -->\n\ntwo\n'
    )


def test_configs_table_links_every_config_once():
    assert sorted(re.findall(r'\]\(([\w/.-]+\.py)\)', BUILD.configs_table())) == recipes()


def test_heads_that_need_compiled_ops_are_those_of_the_tests():
    assert BUILD.NEEDS_OPS == NEEDS_OPS
