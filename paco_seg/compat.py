"""The one place that knows which distributions provide the MM packages.

Two families of distributions install the same import names (``mmengine``, ``mmcv``, ``mmseg``,
``mmpretrain``): the OneDL forks, our default, and the OpenMMLab releases they continue. The forks'
MMEngine still looks for the OpenMMLab distribution when a config inherits ``mmseg::...``, and
would even install it beside the fork. :func:`setup` repairs that; :func:`require` tells a user in
one error what is missing and how to get it.
"""

from __future__ import annotations

import difflib
import importlib.util
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from packaging.requirements import Requirement

CfgPath = tuple[str, 'str | None']


class MMStackError(ImportError):
    """The installed MM packages cannot be used; the message ends with the command that helps."""


class Family(NamedTuple):
    """Distributions that belong together: import name -> requirement, as in ``setup.py``."""

    name: str
    requirements: dict[str, Requirement]
    hint: str = ''


def _family(name: str, *requirements: str, hint: str = '') -> Family:
    modules = ('mmengine', 'mmcv', 'mmseg', 'mmpretrain')
    return Family(name, dict(zip(modules, map(Requirement, requirements), strict=True)), hint)


# Lower bounds are the versions the tests run on; upper bounds stop before the next series, whose
# private config functions and head seams nobody has looked at yet.
ONEDL = _family(
    'OneDL',
    'onedl-mmengine>=0.10.12,<0.11',
    'onedl-mmcv>=2.3.6,<2.4',
    'onedl-mmsegmentation>=1.4.2,<1.5',
    'onedl-mmpretrain>=1.3.6,<1.4',
)
OPENMMLAB = _family(
    'OpenMMLab',
    'mmengine>=0.10.7,<0.11',
    'mmcv>=2.1.0,<2.2',
    'mmsegmentation>=1.2.2,<1.3',
    'mmpretrain>=1.2.0,<1.3',
    hint=' (mmcv is compiled: torch<2.14 first, then --no-build-isolation)',
)
FAMILIES = (ONEDL, OPENMMLAB)

# Other distributions that install the folder mmcv. Known here only to be refused: the OpenMMLab
# releases of mmseg import compiled ops, which mmcv-lite lacks, and mmcv-full is the 1.x series.
ALIASES = {'mmcv': ('mmcv-lite', 'mmcv-full')}


class Provider(NamedTuple):
    """An installed distribution, its version, and the family and module it stands for."""

    module: str
    distribution: str
    version: str
    family: Family

    def __str__(self) -> str:
        return f'{self.distribution} {self.version}'


def providers() -> list[Provider]:
    """Lists every installed distribution of either family, from ``importlib.metadata``."""
    found = []
    for family in FAMILIES:
        for module, requirement in family.requirements.items():
            names = (requirement.name, *(ALIASES.get(module, ()) if family is OPENMMLAB else ()))
            for name in names:
                try:
                    found.append(Provider(module, name, metadata.version(name), family))
                except metadata.PackageNotFoundError:
                    continue
    return found


def _install_command(family: Family, modules: list[str], options: str = '') -> str:
    wanted = ' '.join(f'"{family.requirements[module]}"' for module in modules)
    return f'python -m pip install {options}{wanted}{family.hint if "mmcv" in modules else ""}'


def require(*modules: str) -> None:
    """Checks that MM packages are installed, in the tested range, and of one family.

    Args:
        modules: import names, any of ``mmengine``, ``mmcv``, ``mmseg``, ``mmpretrain``.

    Raises:
        MMStackError: names every module at fault, what is expected, what is there, and the
            command that repairs it.
    """
    installed = providers()
    families = [family for family in FAMILIES if any(p.family is family for p in installed)]
    if len(families) > 1:
        # They overwrite each other's files, and uninstalling one deletes the other's: only
        # removing all and installing one family again gives a sound environment.
        present = ', '.join(str(provider) for provider in installed)
        names = ' '.join(provider.distribution for provider in installed)
        both = list(dict.fromkeys([*modules, *(provider.module for provider in installed)]))
        raise MMStackError(
            'MM packages: expected one family, OneDL or OpenMMLab, got both in one environment '
            f'({present}); they install the same folders. Remove all of them and keep one:\n'
            f'  python -m pip uninstall -y {names}\n  {_install_command(ONEDL, both)}'
        )

    family = families[0] if families else ONEDL
    by_module = {provider.module: provider for provider in installed}
    problems, broken, at_fault = [], False, []
    for module in modules:
        requirement = family.requirements[module]
        provider = by_module.get(module)
        importable = importlib.util.find_spec(module) is not None
        if provider is None and importable:
            warnings.warn(
                f'{module} is imported from a folder without package metadata: its version '
                f'cannot be compared with {requirement}.',
                stacklevel=2,
            )
            continue
        if provider is None:
            got = 'no such package'
        elif not importable:
            got = f'{provider} without its files'
            broken = True
        elif provider.distribution != requirement.name or not requirement.specifier.contains(
            provider.version, prereleases=True
        ):
            got = str(provider)
        else:
            continue
        problems.append(f'{module}: expected {requirement}, got {got}.')
        at_fault.append(module)
    if problems:
        options = '--force-reinstall --no-deps ' if broken else ''
        raise MMStackError(
            '\n'.join(problems) + f' Run:\n  {_install_command(family, at_fault, options)}'
        )


def setup() -> None:
    """Makes ``mmseg::``, ``mmpretrain::`` and ``paco_seg::`` config inheritance work.

    Call it before ``mmengine.Config.fromfile``; further calls change nothing.

    Raises:
        MMStackError: MMEngine is missing or out of range, or both families are installed.
    """
    require('mmengine')
    installed = providers()
    if any(provider.family is ONEDL for provider in installed):
        # The forks ship no compiled ops; the remedy in this warning (install ``mmcv``) would mix
        # the families. A model that needs the op still fails by name when it is built.
        warnings.filterwarnings(
            'ignore', 'Fail to import ``MultiScaleDeformableAttention``', UserWarning
        )
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    # MMEngine's own table: its hub installs, and its messages recommend, what stands there.
    # Only its own keys: for any further one the registries would look for modules to import.
    MODULE2PACKAGE.update(
        {
            provider.module: provider.distribution
            for provider in installed
            if provider.module in MODULE2PACKAGE
        }
    )
    if not hasattr(Config._get_cfg_path, 'by_paco_seg'):
        Config._get_cfg_path = staticmethod(_wrap(Config._get_cfg_path))


def why_no_mask_heads() -> str:
    """Say what MaskFormer and Mask2Former lack here; '' if nothing.

    MMSegmentation's own message asks for MMDetection, also where that is installed and fails for
    want of the compiled operations of mmcv.
    """
    onedl = any(provider.family is ONEDL for provider in providers())
    detection = 'onedl-mmdetection' if onedl else 'mmdet'
    lacks = []
    if importlib.util.find_spec('mmdet') is None:
        lacks.append(f'MMDetection is not installed (python -m pip install {detection})')
    if 'mmcv._ext' not in sys.modules and importlib.util.find_spec('mmcv._ext') is None:
        lacks.append(
            'mmcv has no compiled operations, without which MMDetection cannot be imported '
            '(build mmcv from source with MMCV_WITH_OPS=1)'
        )
    return '; '.join(lacks)


def pretend_compiled_operations() -> None:
    """Let MMDetection be imported without the compiled operations of mmcv, to build models.

    To be called before anything imports MMSegmentation. An operation that is called raises.
    """
    if 'mmcv._ext' in sys.modules or importlib.util.find_spec('mmcv._ext') is not None:
        return
    operations = _PretendedOperations('mmcv._ext')
    operations.__spec__ = ModuleSpec('mmcv._ext', None)
    sys.modules['mmcv._ext'] = operations


class _PretendedOperations(ModuleType):
    """A module that has every operation, none of which runs."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith('__'):
            raise AttributeError(name)

        def operation(*args: object, **kwargs: object) -> None:
            raise RuntimeError(f'mmcv._ext.{name}: expected compiled operations, got none')

        return operation


@contextmanager
def without_onedl_notice() -> Iterator[None]:
    """Drop the lines ``Could not import OneDL`` that importing the fork of MMSegmentation prints.

    They are about a platform that no data set here comes from, and they are printed, not logged:
    no level or filter reaches them.
    """
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            if line.strip() != 'Could not import OneDL':
                print(line)


def _wrap(original: Callable[[str, str], CfgPath]) -> Callable[[str, str], CfgPath]:
    """Wraps ``Config._get_cfg_path``, the function every ``_base_`` entry passes through.

    It asks where the *module* lies. MMEngine asks for a distribution by its OpenMMLab name: the
    forks have another one, an editable install has no folder beside its metadata, and MMEngine
    0.10.7 needs ``pkg_resources`` for it, which setuptools 82 removed.
    """

    def get_cfg_path(cfg_path: str, filename: str) -> CfgPath:
        package, separator, name = cfg_path.partition('::')
        if not separator:
            return original(cfg_path, filename)
        path = _external_config(package, name, filename)
        # Our configs register nothing under a scope of their own: the ``default_scope`` they
        # inherit (mmseg or mmpretrain) has to stay in force, as in a local base file.
        return str(path), None if package == 'paco_seg' else package

    get_cfg_path.by_paco_seg = True  # type: ignore[attr-defined]
    return get_cfg_path


def _external_config(package: str, name: str, asked_by: str) -> Path:
    if package in ONEDL.requirements:
        require(package)
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise MMStackError(
            f'_base_ in {asked_by}: expected an installed package before "::", got '
            f'"{package}::{name}". Install {package}, or inherit by a relative path.'
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    # An installed wheel carries its configs under .mim; a source checkout has them next to the
    # package folder.
    for root in (folder / '.mim' / 'configs', folder.parent / 'configs'):
        if root.is_dir():
            break
    path = root / name
    if path.is_file():
        return path
    known = [str(file.relative_to(root).as_posix()) for file in root.rglob('*.py')]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    advice = f'Did you mean {" or ".join(close)}?' if close else f'Its configs are in {root}.'
    raise FileNotFoundError(
        f'_base_ in {asked_by}: expected a config of {package}, got "{name}". {advice}'
    )
