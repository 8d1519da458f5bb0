"""Config inheritance on both families of MM packages, and the errors of a wrong environment."""

import importlib.machinery
import importlib.util
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from paco_seg import compat
from paco_seg.compat import MMStackError

REPOSITORY = Path(__file__).parents[1]
STOCK = {
    'mmseg': 'mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py',
    'mmpretrain': 'mmpretrain::resnet/resnet50_8xb32_in1k.py',
}
ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmsegmentation': '1.4.2',
    'onedl-mmpretrain': '1.3.6',
}
OPENMMLAB = {
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmsegmentation': '1.2.2',
    'mmpretrain': '1.2.0',
}
MODULES = ('mmengine', 'mmcv', 'mmseg', 'mmpretrain')


@pytest.fixture
def environment(monkeypatch):
    """Pretends that exactly the given distributions, and the modules they bring, are there."""

    def pretend(distributions, modules=None):
        def version(name):
            if name not in distributions:
                raise metadata.PackageNotFoundError(name)
            return distributions[name]

        def find_spec(name):
            if name in present:
                return importlib.machinery.ModuleSpec(name, None)
            return None

        brings = {
            requirement.name: module
            for family in compat.FAMILIES
            for module, requirement in family.requirements.items()
        }
        brings.update({'mmcv-lite': 'mmcv', 'mmcv-full': 'mmcv'})
        present = {brings[name] for name in distributions} if modules is None else set(modules)
        monkeypatch.setattr(compat.metadata, 'version', version)
        monkeypatch.setattr(compat.importlib.util, 'find_spec', find_spec)

    return pretend


def write_config(folder, base):
    path = folder / 'user_config.py'
    path.write_text(f'_base_ = {base!r}\n')
    return path


class TestRequire:
    @pytest.mark.parametrize('distributions', [ONEDL, OPENMMLAB], ids=['onedl', 'openmmlab'])
    def test_accepts_each_family(self, environment, distributions):
        environment(distributions)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            compat.require(*MODULES)

    def test_accepts_what_is_installed_here(self):
        compat.require(*MODULES)

    def test_unneeded_packages_may_be_missing(self, environment):
        environment({name: ONEDL[name] for name in ('onedl-mmengine', 'onedl-mmcv')})
        compat.require('mmengine', 'mmcv')

    def test_nothing_installed_recommends_the_default_family(self, environment):
        environment({})
        with pytest.raises(MMStackError) as error:
            compat.require('mmengine', 'mmseg')
        assert str(error.value) == (
            'mmengine: expected onedl-mmengine<0.11,>=0.10.12, got no such package.\n'
            'mmseg: expected onedl-mmsegmentation<1.5,>=1.4.2, got no such package. Run:\n'
            '  python -m pip install "onedl-mmengine<0.11,>=0.10.12" '
            '"onedl-mmsegmentation<1.5,>=1.4.2"'
        )

    @pytest.mark.parametrize(
        ('distributions', 'missing', 'command'),
        [
            (ONEDL, 'onedl-mmpretrain', 'pip install "onedl-mmpretrain<1.4,>=1.3.6"'),
            (OPENMMLAB, 'mmpretrain', 'pip install "mmpretrain<1.3,>=1.2.0"'),
            (OPENMMLAB, 'mmcv', r'"mmcv<2.2,>=2.1.0" (mmcv is compiled: torch<2.14 first'),
        ],
    )
    def test_missing_package_stays_in_its_family(
        self, environment, distributions, missing, command
    ):
        environment({name: distributions[name] for name in distributions if name != missing})
        with pytest.raises(MMStackError, match=re.escape(command)) as error:
            compat.require(*MODULES)
        assert str(error.value).count('expected') == 1

    @pytest.mark.parametrize('version', ['0.10.11', '0.11.0', '1.0.0'])
    def test_out_of_range(self, environment, version):
        environment({**ONEDL, 'onedl-mmengine': version})
        expected = f'expected onedl-mmengine<0.11,>=0.10.12, got onedl-mmengine {version}.'
        with pytest.raises(MMStackError, match=re.escape(expected)):
            compat.require('mmengine')

    @pytest.mark.parametrize('other', ['mmcv-lite', 'mmcv-full'])
    def test_mmcv_under_another_name(self, environment, other):
        distributions = {**OPENMMLAB, other: '2.1.0'}
        del distributions['mmcv']
        environment(distributions)
        with pytest.raises(MMStackError, match=rf'expected mmcv<2.2,>=2.1.0, got {other} 2.1.0'):
            compat.require('mmcv')

    @pytest.mark.parametrize('intruder', ['mmengine', 'mmcv-lite', 'mmsegmentation'])
    def test_mixed_families(self, environment, intruder):
        environment({**ONEDL, intruder: '0.10.7'})
        with pytest.raises(MMStackError, match='expected one family') as error:
            compat.require('mmengine')
        removal, installation = str(error.value).splitlines()[1:]
        removed = removal.removeprefix('  python -m pip uninstall -y ').split()
        assert sorted(removed) == sorted([*ONEDL, intruder])
        # Everything that is removed comes back, not only what was asked for.
        assert re.findall(r'"([a-z-]+)<', installation) == list(ONEDL)

    def test_metadata_without_files(self, environment):
        # What is left when the other family is uninstalled after it had overwritten this one.
        environment(ONEDL, modules=('mmcv', 'mmseg', 'mmpretrain'))
        with pytest.raises(MMStackError, match=r'0\.10\.12 without its files') as error:
            compat.require('mmengine')
        assert '--force-reinstall --no-deps "onedl-mmengine' in str(error.value)

    def test_files_without_metadata_are_accepted_aloud(self, environment):
        environment({}, modules=('mmseg',))
        with pytest.warns(UserWarning, match='mmseg is imported from a folder without'):
            compat.require('mmseg')


class TestSetup:
    def test_is_idempotent(self):
        compat.setup()
        first, table = Config._get_cfg_path, dict(MODULE2PACKAGE)
        compat.setup()
        assert Config._get_cfg_path is first
        assert table == MODULE2PACKAGE

    def test_refuses_an_environment_without_mmengine(self, environment):
        environment({})
        with pytest.raises(MMStackError, match='mmengine: expected'):
            compat.setup()

    @pytest.mark.parametrize('distributions', [ONEDL, OPENMMLAB], ids=['onedl', 'openmmlab'])
    def test_table_names_the_real_distributions(self, environment, distributions, monkeypatch):
        # MMEngine's hub would pip-install the other family if the table kept its names.
        for module in ('mmseg', 'mmpretrain'):
            monkeypatch.setitem(MODULE2PACKAGE, module, 'something-else')
        environment(distributions)
        compat.setup()
        named = [MODULE2PACKAGE[module] for module in ('mmseg', 'mmpretrain')]
        assert named == list(distributions)[2:]
        # These have no registry of models to import; MMEngine takes any key for one that has.
        assert not {'mmengine', 'mmcv', 'paco_seg'} & set(MODULE2PACKAGE)

    def test_the_noise_filter_is_narrow(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            compat.setup()
            warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from', stacklevel=1)
            warnings.warn('Fail to import something else', stacklevel=1)
        assert [str(warning.message) for warning in caught] == ['Fail to import something else']

    @pytest.mark.parametrize('plugins', ['seg', 'cls'])
    def test_importing_the_plugins_sets_up_and_checks(self, plugins):
        program = (
            'import importlib.metadata as metadata\n'
            'def version(name): raise metadata.PackageNotFoundError(name)\n'
            'metadata.version = version\n'
            'import importlib.util\n'
            'find = importlib.util.find_spec\n'
            'importlib.util.find_spec = lambda n, *a: None if n.startswith("mm") else find(n, *a)\n'
            f'import paco_seg.{plugins}\n'
        )
        result = subprocess.run(
            [sys.executable, '-c', program],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
        )
        assert result.returncode != 0
        needed = {'seg': 'onedl-mmsegmentation', 'cls': 'onedl-mmpretrain'}[plugins]
        assert 'MMStackError: mmengine: expected onedl-mmengine<0.11' in result.stderr
        assert f'expected {needed}<' in result.stderr


class TestInheritance:
    @pytest.fixture(autouse=True)
    def ready(self):
        compat.setup()

    def test_stock_segmentation_config(self, tmp_path):
        config = Config.fromfile(write_config(tmp_path, STOCK['mmseg']))
        assert config.model.decode_head.type == 'PSPHead'
        assert config.default_scope == 'mmseg'

    def test_stock_classification_config(self, tmp_path):
        config = Config.fromfile(write_config(tmp_path, STOCK['mmpretrain']))
        assert config.model.head.type == 'LinearClsHead'
        assert config.default_scope == 'mmpretrain'

    def test_the_one_line_swap(self, tmp_path):
        path = write_config(tmp_path, STOCK['mmseg'])
        swap = "model = dict(decode_head=dict(type='GPaCoDecodeHead', base_type='PSPHead'))\n"
        path.write_text(path.read_text() + swap)
        head = Config.fromfile(path).model.decode_head
        assert (head.type, head.base_type) == ('GPaCoDecodeHead', 'PSPHead')
        assert head.in_channels == 2048

    def test_fresh_interpreter_needs_only_setup(self, tmp_path):
        path = write_config(tmp_path, STOCK['mmseg'])
        program = (
            'from paco_seg import compat; compat.setup()\n'
            'from mmengine.config import Config\n'
            f'print(Config.fromfile({str(path)!r}).model.backbone.depth)\n'
        )
        result = subprocess.run(
            [sys.executable, '-c', program], capture_output=True, text=True, cwd=REPOSITORY
        )
        assert (result.stdout, result.returncode) == ('50\n', 0), result.stderr

    def test_local_base_files_are_left_to_mmengine(self, tmp_path):
        (tmp_path / 'base.py').write_text('value = 3\n')
        assert Config.fromfile(write_config(tmp_path, './base.py')).value == 3

    @pytest.mark.parametrize('layout', ['checkout', 'wheel'])
    def test_our_configs_in_both_layouts(self, tmp_path, monkeypatch, layout):
        package = tmp_path / 'somewhere' / 'paco_seg'
        package.mkdir(parents=True)
        configs = package.parent if layout == 'checkout' else package / '.mim'
        config = configs / 'configs' / 'gpaco' / 'recipe.py'
        config.parent.mkdir(parents=True)
        config.write_text(f'_base_ = {STOCK["mmseg"]!r}\nsettings = dict(alpha=0.01)\n')
        spec = importlib.machinery.ModuleSpec('paco_seg', None, is_package=True)
        spec.submodule_search_locations = [str(package)]
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            compat.importlib.util,
            'find_spec',
            lambda name: spec if name == 'paco_seg' else find_spec(name),
        )
        path = write_config(tmp_path, 'paco_seg::gpaco/recipe.py')
        path.write_text(path.read_text() + 'settings = {{_base_.settings}}\n')
        parsed = Config.fromfile(path)
        # No scope of ours: the registry knows none, mmseg's has to stay in force.
        assert parsed.settings == dict(alpha=0.01)
        assert parsed.default_scope == 'mmseg'
        assert parsed.model.decode_head.type == 'PSPHead'

    def test_a_stock_base_variable_keeps_its_scope(self, tmp_path):
        path = write_config(tmp_path, STOCK['mmseg'])
        path.write_text(path.read_text() + 'reused = {{_base_.model}}\n')
        assert Config.fromfile(path).reused._scope_ == 'mmseg'

    def test_a_misspelt_config_is_named_with_its_neighbours(self, tmp_path):
        name = 'pspnet/pspnet_r50-d8_4xb2-80k_cityscape-512x1024.py'
        path = write_config(tmp_path, f'mmseg::{name}')
        with pytest.raises(FileNotFoundError) as error:
            Config.fromfile(path)
        message = str(error.value)
        assert message.startswith(
            f'_base_ in {path}: expected a config of mmseg, got "{name}". Did you mean '
        )
        assert 'pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py' in message

    def test_a_hopeless_name_gets_the_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'Its configs are in .*configs'):
            Config.fromfile(write_config(tmp_path, 'mmseg::qq.py'))

    @pytest.mark.parametrize('package', ['mmnothing', 'no-package', 'mm.dotted'])
    def test_unknown_package(self, tmp_path, package):
        path = write_config(tmp_path, f'{package}::a/b.py')
        with pytest.raises(MMStackError, match=f'got "{package}::a/b.py". Install {package}'):
            Config.fromfile(path)

    def test_missing_stock_package(self, tmp_path, environment):
        environment({'onedl-mmengine': '0.10.12'})
        with pytest.raises(MMStackError, match='mmseg: expected onedl-mmsegmentation'):
            Config.fromfile(write_config(tmp_path, STOCK['mmseg']))
