"""The documents: links, anchors and pictures exist, commands are accepted, examples run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config

import paco_seg.core
from paco_seg import cli
from tests.conftest import load_script

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ('*.md', 'docs/**/*.md', 'configs/**/*.md', 'benchmarks/*.md', '.github/**/*.md')
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r'(!?)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)')
FENCE = re.compile(r'^```(\w*)\n(.*?)^```', re.MULTILINE | re.DOTALL)
# The second of these is a stand-in for a name: `paco-seg COMMAND --help`.
PLACEHOLDER = re.compile(r'\.\.\.|\bCOMMAND\b')


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without code, in which a bracket is no link."""
    return re.sub(r'`[^`\n]*`', '``', FENCE.sub('', page.read_text(encoding='utf-8')))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as code hosts and MyST make them."""
    text = FENCE.sub('', page.read_text(encoding='utf-8'))
    headings = re.findall(r'^#+ (.+)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in headings}


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_and_pictures_exist(page):
    broken = []
    for picture, target in LINK.findall(prose(page)):
        if re.match(r'[a-z]+:', target):
            continue
        file, _, anchor = target.partition('#')
        path = page.parent / file if file else page
        found = path.is_file() or (path.is_dir() and not picture)
        if not found or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_site_is_in_a_table_of_contents():
    docs = ROOT / 'docs'
    listed = set()
    for page in docs.glob('*.md'):
        text = page.read_text(encoding='utf-8')
        for block in re.findall(r'^```\{toctree\}\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
            for line in block.split():
                listed |= {path.resolve() for path in docs.glob(f'{line}.md')}
                listed.add((docs / f'{line}.md').resolve())
    pages = {path.resolve() for path in docs.glob('**/*.md')} - {docs / 'index.md'}
    generated = {path for path in pages if (docs / 'api') in path.parents}
    assert sorted(map(str, pages - generated - listed)) == []


def shell_lines():
    for page in PAGES:
        if page.name == 'CHANGELOG.md':
            continue
        for language, block in FENCE.findall(page.read_text(encoding='utf-8')):
            if language in ('', 'shell'):
                for line in re.sub(r'\\\n\s*', '', block).splitlines():
                    command = re.sub(r'\s+#.*$', '', line).strip()
                    if command and not PLACEHOLDER.search(command):
                        yield name_of(page), re.sub(r'\[[^\]]*\]', '', command)


@pytest.mark.parametrize(
    ('page', 'command'), [item for item in shell_lines() if item[1].startswith('paco-seg ')]
)
def test_commands_are_accepted(page, command):
    words = shlex.split(command)[1:]
    if {'--help', '--version'} & set(words):
        with pytest.raises(SystemExit) as ended:
            cli.parse(words)
        assert ended.value.code == 0
    else:
        assert callable(cli.parse(words).run)


def test_scripts_and_targets_exist():
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    found = 0
    for page, command in shell_lines():
        words = command.split()
        if words[0] == 'make':
            wanted = {word for word in words[1:] if '=' not in word}
            assert wanted <= targets, f'{page}: {command}'
            found += 1
        for word in words:
            if re.match(r'(tools|docs|benchmarks|tests)/.*\.(py|sh)$', word):
                assert (ROOT / word).is_file(), f'{page}: {command}'
                found += 1
    assert found > 20


def python_blocks():
    for page in PAGES:
        blocks = FENCE.findall(page.read_text(encoding='utf-8'))
        for number, (language, block) in enumerate(blocks):
            if language == 'python':
                yield pytest.param(block, id=f'{name_of(page)}-{number}')


@pytest.mark.parametrize('block', list(python_blocks()))
def test_python_blocks_run(block, tmp_path):
    if '_base_ =' in block:
        # A config: it is complete, and says what it changes in words that its base knows.
        path = tmp_path / 'config.py'
        path.write_text(block)
        cfg = Config.fromfile(path)
        assert cfg.model
        assert cfg.train_dataloader.dataset.type
    else:
        exec(compile(block, 'example', 'exec'), {'__name__': 'example'})


def test_examples_of_docstrings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, examples = [], 0
    for module in pkgutil.walk_packages(paco_seg.__path__, 'paco_seg.'):
        source = Path(module.module_finder.path, f'{module.name.rsplit(".", 1)[-1]}.py')
        # Only those that have one are imported for it.
        if source.is_file() and '>>> ' in source.read_text(encoding='utf-8'):
            results = doctest.testmod(importlib.import_module(module.name))
            failed += [module.name] * bool(results.failed)
            examples += results.attempted
    assert failed == []
    assert examples > 40


@pytest.mark.parametrize('name', sorted(paco_seg.core.__all__))
def test_public_functions_of_the_core_have_an_example(name):
    thing = getattr(paco_seg.core, name)
    assert '>>> ' in thing.__doc__ or issubclass(thing, Exception)


def test_figures_are_those_of_the_script(tmp_path, monkeypatch):
    figures = load_script(ROOT / 'docs' / 'figures.py')
    assert {path.name for path in (ROOT / 'docs/figures').iterdir()} == set(figures.FIGURES)
    monkeypatch.setattr(figures, 'FOLDER', tmp_path)
    monkeypatch.setattr(figures, 'FIGURES', {'prior.png': figures.prior_figure})
    figures.main()
    assert (tmp_path / 'prior.png').stat().st_size > 10_000
    assert figures.target_probability(1.0) == 0.5
