"""Settings of the documentation site (Sphinx), which ``make site`` builds.

The source folder is the repository, not ``docs/``: README, CHANGELOG, the READMEs of ``configs/``
and ``benchmarks/`` are pages of the site as they are, and a relative link means the same there and
on a code host.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from paco_seg import compat  # noqa: E402
from paco_seg.files import write_text  # noqa: E402
from paco_seg.version import __version__  # noqa: E402

# The API pages import every module, and MM's own imports fail without it.
compat.setup()

project = 'paco_seg'
author = 'The paco_seg authors'
copyright = author
version = release = __version__
language = 'en'

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
]
root_doc = 'docs/index'
include_patterns = [
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'benchmarks/README.md',
    'configs/README.md',
    'configs/*/README.md',
    'docs/**',
]
# Folders that Sphinx would otherwise walk through to find none of the above.
exclude_patterns = ['.*', 'build', 'data', 'paco_seg', 'tests', 'tools', 'work_dirs', 'docs/_*']

myst_enable_extensions = ['deflist']
myst_heading_anchors = 3
# Code blocks that name a shell session or nothing are not highlighted rather than guessed at.
highlight_language = 'none'

autodoc_typehints = 'signature'
autodoc_typehints_format = 'short'
python_maximum_signature_line_length = 88  # one argument a line beyond it
autodoc_member_order = 'bysource'
# Members once, on the page of the module that has them: `__all__` of a package names them again.
autodoc_default_options = {'members': True, 'show-inheritance': True, 'ignore-module-all': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # a dataclass has its fields in the signature too

html_theme = 'furo'
html_title = f'paco_seg {release}'
# A host serves `/`; the start page is `docs/index.html`, since the source is the repository.
html_extra_path = ['_site_root']
html_copy_source = False
html_show_copyright = False

# Packages with their own page, and what it is called.
API = {
    'paco_seg.core': 'Losses and their parts, on PyTorch alone',
    'paco_seg.core.compared': 'Losses of the compared systems',
    'paco_seg.engine': 'Training, checkpoints, checks (MMEngine)',
    'paco_seg.engine.hooks': 'Hooks',
    'paco_seg.seg': 'Segmentation (MMSegmentation)',
    'paco_seg.seg.systems': 'Segmentation: training systems',
    'paco_seg.cls': 'Classification (MMPretrain)',
    'paco_seg.cls.systems': 'Classification: training systems',
}
PAGES = ROOT / 'docs' / 'api'


def modules_of(package: str) -> Iterator[str]:
    """Name the public modules of a package that are on its page, those of its folders too."""
    yield package
    for module in pkgutil.iter_modules(import_module(package).__path__, f'{package}.'):
        if module.name in API or module.name.rsplit('.', 1)[-1].startswith('_'):
            continue
        if module.ispkg:
            yield from modules_of(module.name)
        else:
            yield module.name


def write_api_pages(app: Any) -> None:
    """Write one page per package: a module that is new is on it without anybody's doing."""
    for package, title in API.items():
        lines = [title, '=' * len(title), '']
        for name in modules_of(package):
            lines += [name, '-' * len(name), '', f'.. automodule:: {name}', '']
        page = PAGES / f'{package}.rst'
        text = '\n'.join(lines)
        # Sphinx reads a page again when the file is newer.
        if not page.is_file() or page.read_text(encoding='utf-8') != text:
            write_text(page, text)


# reStructuredText reads the bars of `alpha |P|` as the name of a substitution.
BAR = re.compile(r'(?<!\\)\|')


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Write the bars of a docstring as bars, but for those in code, which are."""
    literal: int | None = None  # how far the paragraph above a literal block is indented
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None:
            parts = re.split(r'(``.*?``)', line)
            parts[::2] = [BAR.sub(r'\\|', part) for part in parts[::2]]
            lines[number] = ''.join(parts)
            if line.rstrip().endswith('::'):
                literal = indent


def skip_aliases(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool:
    """Leave out the fields of a named tuple one by one: its docstring has them."""
    return skip or str(getattr(obj, '__doc__', '')).startswith('Alias for field number')


def setup(app: Any) -> None:
    """Connect what Sphinx calls."""
    app.connect('builder-inited', write_api_pages)
    app.connect('autodoc-process-docstring', escape_bars)
    app.connect('autodoc-skip-member', skip_aliases)
