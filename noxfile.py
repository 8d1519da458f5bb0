"""Every supported Python with the oldest and the newest versions of the ranges in setup.py.

nox -l                                    the environments
nox -s "short-3.12(newest)"               the short suite in one of them
nox -s "full-3.11(newest)"                all tests

``oldest`` installs the lower bound of each range of ``INSTALL_REQUIRES``, ``newest`` what pip takes
without constraints; neither reads ``constraints.txt``, which `make test` does.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import nox
import setuptools
from packaging.requirements import Requirement

ROOT = Path(__file__).parent
PYTHONS = ['3.10', '3.11', '3.12', '3.13']
# Minutes, no processes of their own, nothing compiled: the arithmetic, the adapters, one training
# of each task. test_fused.py counts the registers of compiled kernels: its figures are those of the
# Triton in constraints.txt, and an older one spills more.
SHORT = [
    'tests/core',
    '--ignore=tests/core/test_distributed.py',
    '--ignore=tests/core/test_fused.py',
    '--ignore=tests/core/test_devices.py',
    'tests/engine/test_checkpoint.py',
    'tests/seg/heads/test_branch_decode_head.py',
    'tests/seg/heads/test_gpaco_decode_head.py',
    'tests/cls/heads',
    'tests/cli/test_train.py',
    'tests/cli/test_swap.py',
    'tests/test_compat.py',
    '-k',
    'not compiled',
]

nox.options.default_venv_backend = 'uv|venv'
nox.options.sessions = ['short']


def requirements() -> list[str]:
    """Read the dependencies of the package from ``setup.py``."""
    setuptools.setup = lambda **_: None
    required: list[str] = runpy.run_path(str(ROOT / 'setup.py'))['INSTALL_REQUIRES']
    return required


def lower_bound(line: str) -> str:
    """Turn a range into its lower bound: ``'torch>=2.13,<3'`` -> ``'torch==2.13.*'``.

    A bound of one number is that series (``numpy>=2``: ``numpy==2.*`` would be the newest of it, so
    it becomes ``2.0.*``).
    """
    requirement = Requirement(line)
    (bound,) = (part.version for part in requirement.specifier if part.operator == '>=')
    bound = bound if '.' in bound else f'{bound}.0'
    return f'{requirement.name}=={bound}.*'


def install(session: nox.Session, versions: str) -> None:
    """Install the package with its tests."""
    pins = [lower_bound(line) for line in requirements()] if versions == 'oldest' else []
    session.install('-e', '.[tests]', *pins)


@nox.session(python=PYTHONS)
@nox.parametrize('versions', ['oldest', 'newest'], ids=['oldest', 'newest'])
def short(session: nox.Session, versions: str) -> None:
    """Run the short suite."""
    install(session, versions)
    session.run('python', '-m', 'pytest', '-q', *SHORT, env={'OMP_NUM_THREADS': '1'})


@nox.session(python=PYTHONS)
@nox.parametrize('versions', ['oldest', 'newest'], ids=['oldest', 'newest'])
def full(session: nox.Session, versions: str) -> None:
    """Run all tests, those of the export to ONNX too."""
    install(session, versions)
    session.install('.[export]')
    session.run('python', '-m', 'pytest', '-q', '-n', '2', env={'OMP_NUM_THREADS': '1'})
