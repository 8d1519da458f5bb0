"""The package as it is installed: imports, metadata, the wheel, and the rules of `make install`."""

import ast
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from paco_seg import __version__, compat

REPOSITORY = Path(__file__).parents[1]
# Import name -> distribution, where they differ (the MM packages are in paco_seg/compat.py).
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
    # Comes with PyTorch where there are kernels to run, and is imported when one is about to.
    'triton': 'torch',
}


@pytest.fixture(scope='module')
def setup_py():
    """The global names of ``setup.py``, run without setting anything up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', lambda **_: None)
        return runpy.run_path(str(REPOSITORY / 'setup.py'))


def run_python(program, *, cwd=REPOSITORY, flags=()):
    return subprocess.run(
        [sys.executable, *flags, '-c', program], capture_output=True, text=True, cwd=cwd
    )


class TestImports:
    def test_core_needs_neither_mm_nor_triton(self):
        program = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'mmdet', 'triton'}:
            raise ModuleNotFoundError(f'{name} is blocked')
sys.meta_path.insert(0, Block())
import pkgutil, importlib, torch, paco_seg.core
for module in pkgutil.walk_packages(paco_seg.core.__path__, 'paco_seg.core.'):
    if not module.name.endswith('.fused_kernels'):  # imported when a kernel is about to run
        importlib.import_module(module.name)
embeddings = torch.nn.functional.normalize(torch.eye(4) + 0.1).requires_grad_()
loss = paco_seg.core.parametric_contrastive_loss(
    embeddings, torch.tensor([0, 0, 1, 1]), torch.zeros(4, 2), alpha=0.1, temperature=0.2)
loss.backward()
print(float(loss), bool(embeddings.grad.abs().sum() > 0))
"""
        result = run_python(program)
        assert result.returncode == 0, result.stderr
        value, has_gradient = result.stdout.split()
        assert float(value) > 0
        assert has_gradient == 'True'

    def test_the_package_itself_loads_nothing_heavy(self):
        heavy = "{'torch', 'numpy', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain'}"
        result = run_python(f'import sys, paco_seg; print(sorted({heavy} & set(sys.modules)))')
        assert result.stdout.strip() == '[]', result.stderr


class TestMetadata:
    def test_changelog_starts_with_this_version(self):
        text = (REPOSITORY / 'CHANGELOG.md').read_text()
        assert re.search(r'^## (\S+)', text, re.MULTILINE)[1] == __version__

    def test_mm_ranges_are_those_compat_explains(self, setup_py):
        installed = {Requirement(line) for line in setup_py['INSTALL_REQUIRES']}
        assert set(compat.ONEDL.requirements.values()) <= installed
        documented = {Requirement(line) for line in setup_py['EXTRAS_REQUIRE']['openmmlab']}
        assert set(compat.OPENMMLAB.requirements.values()) <= documented

    def test_constraints_pin_every_dependency_inside_its_range(self, setup_py):
        lines = (REPOSITORY / 'constraints.txt').read_text().splitlines()
        pins = [Requirement(line) for line in lines if line and not line.startswith('#')]
        by_name = {canonicalize_name(pin.name): pin for pin in pins}
        assert len(by_name) == len(pins)
        extras = setup_py['EXTRAS_REQUIRE']
        for line in [
            *setup_py['INSTALL_REQUIRES'],
            *extras['tests'],
            *extras['docs'],
            *extras['export'],
        ]:
            wanted = Requirement(line)
            (pin,) = by_name[canonicalize_name(wanted.name)].specifier
            assert pin.operator == '=='
            assert wanted.specifier.contains(pin.version), (line, pin.version)

    @pytest.mark.parametrize(
        ('folders', 'extra'),
        [
            # onnxruntime is imported when somebody exports to ONNX.
            (('paco_seg', 'tools', 'configs'), 'export'),
            (('tests',), 'tests'),
            (('benchmarks',), 'benchmarks'),
            (('docs',), 'docs'),
        ],
    )
    def test_everything_imported_is_declared(self, setup_py, folders, extra):
        requirements = list(setup_py['INSTALL_REQUIRES'])
        requirements += setup_py['EXTRAS_REQUIRE'][extra] if extra else []
        declared = {canonicalize_name(Requirement(line).name) for line in requirements}
        modules = {module: need.name for module, need in compat.ONEDL.requirements.items()}
        own = {'paco_seg', 'tools', 'tests', 'benchmarks', *sys.stdlib_module_names}
        # Tests, tools, benchmarks and documents import their siblings by bare name.
        for folder in ('tests', 'tools', 'benchmarks', 'docs'):
            own |= {path.stem for path in (REPOSITORY / folder).rglob('*')}
        undeclared = {}
        for folder in folders:
            for path in (REPOSITORY / folder).rglob('*.py'):
                for name in imported(path) - own:
                    distribution = {**modules, **DISTRIBUTIONS}.get(name, name)
                    if canonicalize_name(distribution) not in declared:
                        undeclared.setdefault(name, path.name)
        assert undeclared == {}

    def test_model_index_lists_exactly_the_metafiles(self):
        listed = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())['Import']
        existing = sorted(
            path.relative_to(REPOSITORY).as_posix()
            for path in (REPOSITORY / 'configs').glob('*/metafile.yml')
        )
        assert listed == existing


def imported(path):
    """Top-level names a file imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split('.')[0])
    return names


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel built, without network, from a copy: building leaves folders in the source."""
    source = tmp_path_factory.mktemp('source') / 'checkout'
    source.mkdir()
    for name in ('paco_seg', 'configs', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy2(REPOSITORY / name, source)
    # What an earlier build has left must not reach the wheel.
    stale = source / 'build' / 'lib' / 'paco_seg' / '.mim' / 'configs' / 'renamed_since.py'
    stale.parent.mkdir(parents=True)
    stale.write_text('')
    target = tmp_path_factory.mktemp('wheel')
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    command += ['--disable-pip-version-check', '-w', str(target), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = target.glob('*.whl')
    return path


class TestWheel:
    def test_carries_the_package_the_configs_and_the_tools(self, wheel):
        assert wheel.name == f'paco_seg-{__version__}-py3-none-any.whl'
        names = set(zipfile.ZipFile(wheel).namelist())
        expected = {'paco_seg/py.typed', 'paco_seg/.mim/model-index.yml'}
        for folder, prefix in (('paco_seg', ''), ('configs', 'paco_seg/.mim/')):
            files = (path for path in (REPOSITORY / folder).rglob('*.py'))
            expected |= {prefix + path.relative_to(REPOSITORY).as_posix() for path in files}
        for path in (REPOSITORY / 'tools').iterdir():
            if path.is_file():
                expected.add(f'paco_seg/.mim/tools/{path.name}')
        assert expected <= names
        others = {name for name in names if not name.startswith(('paco_seg/', 'paco_seg-'))}
        assert others == set()
        assert not [name for name in names if 'renamed_since' in name or '__pycache__' in name]
        assert any(name.endswith('licenses/LICENSE') for name in names)

    def test_configs_resolve_from_the_wheel_alone(self, wheel, tmp_path):
        site = tmp_path / 'site'
        zipfile.ZipFile(wheel).extractall(site)
        first = min((REPOSITORY / 'configs' / 'gpaco').glob('*.py')).name
        (tmp_path / 'user.py').write_text(f"_base_ = 'paco_seg::gpaco/{first}'\n")
        program = f"""
import sys
sys.path[:] = [{str(site)!r}] + [p for p in sys.path if p not in ('', {str(REPOSITORY)!r})]
from paco_seg import compat
compat.setup()
from mmengine.config import Config
config = Config.fromfile('user.py', import_custom_modules=False)
print(compat.__file__, config.model.type, sep='\\n')
"""
        result = run_python(program, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        location, model = result.stdout.split()
        assert Path(location) == site / 'paco_seg' / 'compat.py'
        assert model.endswith(('EncoderDecoder', 'Classifier'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """``installed(folder, *command)`` runs ``paco-seg`` from the installed wheel in a folder."""
    site = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index', '--quiet']
    command += ['--disable-pip-version-check', '--target', str(site), str(wheel)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr

    def run(folder, *command):
        environment = {**os.environ, 'PYTHONPATH': str(site), 'CUDA_VISIBLE_DEVICES': ''}
        environment |= dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', MPLBACKEND='Agg')
        result = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    run.site = site
    return run


class TestInstalledWheel:
    """In an empty folder, with nothing of the checkout on the path."""

    def test_demo_data_training_and_test(self, installed, tmp_path):
        program = [sys.executable, '-m', 'paco_seg']
        place = installed(tmp_path, *program[:1], '-c', 'import paco_seg; print(paco_seg.__file__)')
        assert Path(place.strip()) == installed.site / 'paco_seg' / '__init__.py'
        sizes = ('--max-instances', 100, '--balanced-instances', 4)
        installed(tmp_path, *program, 'demo-data', 'digit-scenes', *sizes)
        (tmp_path / 'mine.py').write_text(
            "_base_ = 'paco_seg::quickstart/gpaco-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'\n"
            'train_cfg = dict(max_iters=20, val_interval=20)\n'
            'default_hooks = dict(checkpoint=dict(interval=20))\n'
            "param_scheduler = [dict(type='PolyLR', begin=0, end=20, by_epoch=False)]\n"
        )
        log = installed(tmp_path, *program, 'train', 'mine.py')
        assert 'train_dataloader: ' in log
        assert 'Could not import OneDL' not in log
        # `mim test` starts the command by this path.
        tool = installed.site / 'paco_seg' / '.mim' / 'tools' / 'test.py'
        arguments = ('mine.py', 'work_dirs/mine', '--out', 'out.json')
        installed(tmp_path, sys.executable, tool, *arguments)
        out = json.loads((tmp_path / 'out.json').read_text())
        assert Path(out['last']['checkpoint']).name == 'iter_20.pth'
        assert 0 < out['last']['metrics']['mIoU'] < 100

    def test_console_script(self, installed, tmp_path):
        script = installed.site / 'bin' / 'paco-seg'
        assert installed(tmp_path, script, '--version') == f'paco_seg {__version__}\n'

    def test_mim_finds_configs_tools_and_models(self, installed):
        """openmim looks below the folder of the package's own name; docs/command_line.md."""
        folder = installed.site / 'paco_seg' / '.mim'
        index = yaml.safe_load((folder / 'model-index.yml').read_text())
        assert index['Import']
        for name in (*index['Import'], 'tools/train.py', 'tools/test.py'):
            assert (folder / name).is_file(), name


class TestMakeInstall:
    """`make install` with a stand-in for Python that only records what it is asked to do."""

    @pytest.fixture
    def make(self, tmp_path):
        for name in ('Makefile', 'setup.py', 'constraints.txt'):
            shutil.copy2(REPOSITORY / name, tmp_path)
        fake = tmp_path / 'fake_python'
        # `-m venv --clear DIR` makes DIR/bin/python a copy of itself; pip fails while a file
        # named `offline` exists.
        fake.write_text(
            '#!/bin/sh\necho "$@" >> calls\ncase "$*" in\n'
            '  "-m venv"*) mkdir -p .venv/bin; cp fake_python .venv/bin/python;;\n'
            '  *-e*) test ! -e offline;;\nesac\n'
        )
        fake.chmod(0o755)

        def run(*arguments):
            command = ['make', '-C', str(tmp_path), f'PYTHON={fake}', *arguments]
            result = subprocess.run(command, capture_output=True, text=True)
            calls = tmp_path / 'calls'
            lines = calls.read_text().splitlines() if calls.exists() else []
            calls.unlink(missing_ok=True)
            return result.returncode, lines

        return run

    def test_a_second_install_does_nothing(self, make):
        status, calls = make('install')
        assert status == 0
        assert any(call.endswith('-e .[tests]') for call in calls)
        assert make('install') == (0, [])

    def test_an_interrupted_install_is_not_taken_for_done(self, make, tmp_path):
        (tmp_path / 'offline').touch()
        assert make('install')[0] != 0
        (tmp_path / 'offline').unlink()
        status, calls = make('install')
        assert status == 0
        assert '-m venv --clear .venv' in calls
        assert make('install') == (0, [])

    def test_changed_dependencies_update_the_environment_in_place(self, make, tmp_path):
        make('install')
        with (tmp_path / 'constraints.txt').open('a') as file:
            file.write('# changed\n')
        stamp = tmp_path / '.venv' / '.installed'
        later = stamp.stat().st_mtime_ns + 10**9
        os.utime(tmp_path / 'constraints.txt', ns=(later, later))
        status, calls = make('install')
        assert status == 0
        assert any(call.endswith('-e .[tests]') for call in calls)
        assert not any('venv' in call for call in calls)

    def test_a_refused_python_leaves_nothing_behind(self, make, tmp_path):
        (tmp_path / 'fake_python').write_text('#!/bin/sh\nexit 1\n')
        assert make('install')[0] != 0
        assert not (tmp_path / '.venv').exists()
