"""The documents: links, anchors and pictures exist, commands are accepted, examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config

import paco_seg.core
from paco_seg import cli
from paco_seg.cls.systems import SYSTEMS as CLS_SYSTEMS
from paco_seg.core.paco import PaCoSettings
from paco_seg.seg.heads.pixel_sampler import PixelSampler
from paco_seg.seg.losses.pixel_gpaco_loss import PixelGPaCoLoss
from paco_seg.seg.systems import SYSTEMS as SEG_SYSTEMS
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
SYSTEMS = (SEG_SYSTEMS, CLS_SYSTEMS)


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


# The command of a launcher, and by place the arguments that are its own:
# tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of paco-seg test].
LAUNCHERS = {
    'tools/dist_train.sh': ('train', (1,)),
    'tools/dist_test.sh': ('test', (2,)),
    'tools/slurm_train.sh': ('train', (0, 1)),
    'tools/slurm_test.sh': ('test', (0, 1)),
}


def as_command(line: str) -> str | None:
    """A line as `paco-seg ...`, also where it calls a script of tools/; None for other programs."""
    program, _, rest = line.removeprefix('python ').partition(' ')
    if program == 'paco-seg':
        return line
    if program in LAUNCHERS:
        command, own = LAUNCHERS[program]
        words = [word for place, word in enumerate(rest.split()) if place not in own]
        return ' '.join(['paco-seg', command, *words])
    if re.fullmatch(r'tools/\w+\.py', program):
        called = re.search(r'main\(\[(.*), \*sys', (ROOT / program).read_text(encoding='utf-8'))
        return ' '.join(['paco-seg', *re.findall(r"'([^']+)'", called[1]), rest])
    return None


def inline_commands():
    """Commands in running text; one without what it acts on is a name, not a command."""
    for page in PAGES:
        if page.name != 'CHANGELOG.md':
            text = FENCE.sub('', page.read_text(encoding='utf-8'))
            for command in re.findall(r'`((?:paco-seg|python tools/)[^`]+)`', text):
                words = command.removeprefix('python ').split()
                complete = len(words) > 2 and not words[2].startswith('-')
                if complete and not PLACEHOLDER.search(command) and '|' not in command:
                    yield name_of(page), ' '.join(words)


COMMANDS = [
    (page, command)
    for page, line in [*shell_lines(), *inline_commands()]
    if (command := as_command(line)) is not None
]


@pytest.mark.parametrize(('page', 'command'), COMMANDS)
def test_commands_are_accepted(page, command):
    words = shlex.split(command)[1:]
    if {'--help', '--version'} & set(words):
        with pytest.raises(SystemExit) as ended:
            cli.parse(words)
        assert ended.value.code == 0
    else:
        assert callable(cli.parse(words).run)


def test_commands_name_systems_that_exist():
    known = {name for systems in SYSTEMS for name in (*systems, *systems.combinations())}
    named = set()
    for _, command in COMMANDS:
        words = shlex.split(command)[1:]
        if words[0] in ('swap', 'compare') and '--help' not in words:
            args = vars(cli.parse(words))
            named |= {args['system']} if words[0] == 'swap' else set(args['systems'] or ())
    named = {name.split('@')[0] for name in named} - {'all'}
    assert len(named) > 8
    assert named <= known


def test_every_option_of_the_pixel_loss_is_in_its_table():
    text = (ROOT / 'docs/choosing_settings.md').read_text(encoding='utf-8')
    table = text.partition('## All options of the pixel loss')[2].partition('\n## ')[0]
    listed = {
        name
        for row in re.findall(r'^\| (`.*?) \|', table, re.MULTILINE)
        for name in re.findall(r'`(\w+)`', row)
    }
    accepted = {'queue_size', 'queue_pixels_per_class'}  # taken by GPaCoBranch
    for thing in (PixelGPaCoLoss, PixelSampler, PaCoSettings):
        accepted |= set(inspect.signature(thing).parameters)
    # `settings` are those of PaCoSettings, whose `key` names them in messages
    assert listed - {'loss_contrast'} == accepted - {'settings', 'key'}


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
