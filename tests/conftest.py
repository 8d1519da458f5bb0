"""Fixtures for tests that train: tiny data sets, tiny stock configs, tools run in this process.

``tiny_seg`` and ``tiny_cls`` write a data set and a config into ``tmp_path`` and return the path
of the config; ``run_tool('train', config, '--resume')`` runs ``paco-seg train`` on it without the
seconds that a new process needs to import PyTorch and MM.
"""

import gc
import importlib.util
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from helpers.run_overhead import FORMATTER, format_code, leave_out_overhead

from paco_seg import cli
from paco_seg.comparison.process import allow_forks

allow_forks()  # commands of comparisons take no seconds to import PyTorch and MM

LOADING = ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD')
TOOLS = Path(__file__).parent.parent / 'tools'
CLASSES = ('sky', 'road', 'tree', 'car')

# FCN on two stages of a narrow ResNet-18: dropout, SyncBN and random augmentation, 20 k parameters.
SEG_CONFIG = """
_base_ = 'mmseg::_base_/default_runtime.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[128.0] * 3, std=[64.0] * 3, bgr_to_rgb=True,
        size=(32, 32), pad_val=0, seg_pad_val=255),
    backbone=dict(
        type='ResNetV1c', depth=18, stem_channels=8, base_channels=8, num_stages=2,
        strides=(1, 2), dilations=(1, 1), out_indices=(1,), norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=16, in_index=0, channels=8, num_convs=1, concat_input=False,
        dropout_ratio=0.3, num_classes={num_classes}, norm_cfg=norm_cfg, align_corners=False),
    test_cfg=dict(mode='whole'))
dataset = dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.png', seg_map_suffix='.png',
    metainfo=dict(classes={classes!r}))
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=load + [
            dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs')],
        **dataset))
val_dataloader = test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=load + [dict(type='PackSegInputs')], **dataset))
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = [dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end=6, by_epoch=False)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=3, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3),
    visualization=dict(type='SegVisualizationHook'))
randomness = dict(seed=1)
work_dir = {work_dir!r}
"""

CLS_CONFIG = """
_base_ = 'mmpretrain::_base_/default_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8, num_stages=1,
        strides=(1,), dilations=(1,), out_indices=(0,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', in_channels=8, num_classes={num_classes},
        loss=dict(type='CrossEntropyLoss')),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)))
data_preprocessor = dict(mean=[128.0] * 3, std=[64.0] * 3, num_classes={num_classes})
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CustomDataset', data_root={root!r}, data_prefix='train',
        pipeline=[
            dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=16, padding=2),
            dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')]))
val_dataloader = test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset', data_root={root!r}, data_prefix='val',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))
val_evaluator = test_evaluator = [
    dict(type='Accuracy', topk=(1,)), dict(type='SingleLabelMetric', average=None)]
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=2, by_epoch=True)]
auto_scale_lr = dict(base_batch_size=4)
randomness = dict(seed=1)
work_dir = {work_dir!r}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the tests marked ``gpu`` where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='needs a CUDA device'))


def write_seg_dataset(root: Path, *, train: int = 7, val: int = 2) -> None:
    """PNG images of coloured blocks and their labels, in images/ and labels/ {train,val}."""
    rng = np.random.default_rng(0)
    for split, number in (('train', train), ('val', val)):
        for folder in ('images', 'labels'):
            (root / folder / split).mkdir(parents=True)
        for i in range(number):
            labels = np.kron(rng.integers(0, len(CLASSES), (5, 6)), np.ones((8, 8))).astype('u1')
            noise = rng.integers(0, 40, (*labels.shape, 3))
            image = (labels[..., None] * 50 + noise).astype('u1')
            cv2.imwrite(str(root / 'images' / split / f'{i}.png'), image)
            cv2.imwrite(str(root / 'labels' / split / f'{i}.png'), labels)


def write_cls_dataset(root: Path, *, train: int = 3, val: int = 2) -> None:
    """16x16 PNG images in {train,val}/<class>/, so many per class."""
    rng = np.random.default_rng(0)
    for split, number in (('train', train), ('val', val)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for i in range(number):
                image = (rng.integers(0, 60, (16, 16, 3)) + 50 * label).astype('u1')
                cv2.imwrite(str(root / split / name / f'{i}.png'), image)


@pytest.fixture
def tiny_seg(tmp_path: Path) -> Callable[..., Path]:
    """``tiny_seg(extra='', num_classes=4)`` -> config of a 4-class segmentation training.

    ``extra`` is Python text at the end of the config; six iterations, checkpoints and validation
    at 3 and 6, ``work_dir`` is ``tmp_path / 'work'``.
    """
    return _config_writer(tmp_path, SEG_CONFIG, write_seg_dataset)


@pytest.fixture
def tiny_cls(tmp_path: Path) -> Callable[..., Path]:
    """``tiny_cls(extra='', num_classes=4)`` -> config of a classification training, 2 epochs."""
    return _config_writer(tmp_path, CLS_CONFIG, write_cls_dataset)


def _config_writer(folder: Path, text: str, write: Callable[[Path], None]) -> Callable[..., Path]:
    def config(extra: str = '', num_classes: int = len(CLASSES)) -> Path:
        if not (folder / 'data').exists():
            write(folder / 'data')
        path = folder / 'config.py'
        path.write_text(
            text.format(
                root=str(folder / 'data'),
                work_dir=str(folder / 'work'),
                classes=CLASSES,
                num_classes=num_classes,
            )
            + extra
        )
        return path

    return config


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``run_tool(command, *arguments)`` is ``paco-seg COMMAND ...`` in this process, but raises."""
    # Set by the commands for their process; monkeypatch puts the old value back.
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(name: str, *arguments: object) -> None:
        forget_runs()
        cli.run([name, *map(str, arguments)])

    yield run
    forget_runs()


@pytest.fixture
def limit_file_size() -> Callable[[int], AbstractContextManager[None]]:
    """``with limit_file_size(512)``: no file of this process and its children grows beyond.

    To the writer that is a full disk. It ends before the test does: pytest's own output may go to a
    file.
    """
    resource = pytest.importorskip('resource', reason='no limits on the size of files')

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope='session', autouse=True)
def _without_overhead() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        leave_out_overhead(patch)
        yield


@pytest.fixture
def formatted_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs as text as a user gets it, where a test looks at that text."""
    monkeypatch.setattr(FORMATTER, format_code)


def pytest_collection_finish() -> None:
    """Leaves all that was imported out of the garbage collection ahead of every data set."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Gives it back, or compiled extensions take at the end what is left for a leak."""
    gc.unfreeze()


@pytest.fixture(scope='module', autouse=True)
def _no_runs_left() -> Iterator[None]:
    """What a file leaves behind, such as a default scope, decides nothing in the next one."""
    yield
    forget_runs()


@pytest.fixture(autouse=True)
def _no_logs_left() -> Iterator[None]:
    """Its folder is gone when the next test starts, maybe within the same second."""
    yield
    from paco_seg.comparison.process import forget_logs

    forget_logs()


@pytest.fixture(autouse=True)
def _default_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool decides for its process how checkpoints are read; each test starts undecided."""
    for name in LOADING:
        monkeypatch.setenv(name, '0')


def forget_runs() -> None:
    """Clears what MMEngine keeps per process."""
    from paco_seg.comparison.process import forget_runs

    forget_runs()


def load_script(path: Path) -> ModuleType:
    """A script, which is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    """Outside the range the system hands out itself: free until the script binds it."""
    for port in random.Random().sample(range(20000, 32000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port
    raise OSError('none of 100 ports is free')


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are compared bit for bit: segmentors do not repeat themselves on a GPU."""
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')


@pytest.fixture
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """``run_script('dist_train.sh', *arguments)`` in a process of its own, on a free port, CPU."""

    def run(
        name: str, *arguments: object, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess:
        result = subprocess.run(
            ['bash', str(TOOLS / name), *map(str, arguments)],
            env={
                **os.environ,
                'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
                'PORT': str(free_port()),
                'CUDA_VISIBLE_DEVICES': '',
                'OMP_NUM_THREADS': '1',
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        ends = [text[-3000:] for text in (result.stderr, result.stdout)]
        assert not check or result.returncode == 0, '\n'.join([f'exit {result.returncode}', *ends])
        return result

    return run
