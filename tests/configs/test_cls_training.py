"""Classification configs train two iterations and evaluate, on images in the real format.

The files lie where the configs expect them, with the real names, lists, folders and pickles;
images, batches and the length of the training are small.
"""

import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
PER_CLASS = 100  # the smallest class of an imbalance ratio of 100 still has an image
LISTS = {
    # root: (lists, paths as in the published ones, classes)
    'imagenet': ('ImageNet_LT_{}.txt', 'train/n01440764/n01440764_{}.JPEG', 1000),
    'places': ('Places_LT_{}.txt', 'data_256/a/airfield/{:08d}.jpg', 365),
    'inaturalist2018': ('iNaturalist18_{}.txt', 'train_val2018/Plantae/7291/{}.jpg', 8142),
}


def write_image(path, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rng.integers(0, 256, (40, 44, 3), dtype=np.uint8))


def write_cifar(folder, rng, num_classes, train, test, label_key, meta, meta_key):
    folder.mkdir(parents=True)
    for names, number in ((train, PER_CLASS * num_classes // len(train)), (test, 8)):
        for name in names:
            labels = (np.arange(number) % num_classes).tolist()
            data = rng.integers(0, 256, (number, 3072), dtype=np.uint8)
            (folder / name).write_bytes(pickle.dumps({'data': data, label_key: labels}))
    names = [f'class {i}' for i in range(num_classes)]
    (folder / meta).write_bytes(pickle.dumps({meta_key: names}))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('project')
    rng = np.random.default_rng(0)
    write_cifar(
        root / 'data/cifar100/cifar-100-python',
        rng, 100, ['train'], ['test'], 'fine_labels', 'meta', 'fine_label_names',
    )  # fmt: skip
    write_cifar(
        root / 'data/cifar10/cifar-10-batches-py',
        rng, 10, [f'data_batch_{i}' for i in range(1, 6)], ['test_batch'], 'labels',
        'batches.meta', 'label_names',
    )  # fmt: skip
    for folder, (name, path, num_classes) in LISTS.items():
        base = root / 'data' / folder
        for i in range(4):
            write_image(base / path.format(i), rng)
        lines = [f'{path.format(c % 4)} {c}\n' for c in range(num_classes)]
        # two images of the first class: counts that are not all equal
        lists = dict(train=[f'{path.format(1)} 0\n', *lines], val=lines[:4], test=lines[-4:])
        for split, content in lists.items():
            (base / 'meta').mkdir(exist_ok=True)
            (base / 'meta' / name.format(split)).write_text(''.join(content))
    # ImageNet: 1000 class folders, images in some; -C, -R and -Sketch with the same images
    imagenet = root / 'data/imagenet'
    for i in range(1000):
        folder = imagenet / 'val' / f'n{i:08d}'
        folder.mkdir(parents=True)
        if i in (0, 1, 988, 999):
            write_image(folder / 'a.JPEG', rng)
    os.rename(imagenet / 'train', imagenet / 'listed')
    os.symlink(imagenet / 'val', imagenet / 'train')
    os.symlink(imagenet / 'listed/n01440764', imagenet / 'val/n01440764')
    (imagenet / 'val/n00000999/a.JPEG').unlink()
    (imagenet / 'val/n00000999').rmdir()  # still 1000 with the folder of the list
    (root / 'data/imagenet-c/fog').mkdir(parents=True)
    os.symlink(imagenet / 'val', root / 'data/imagenet-c/fog/1')
    (root / 'data/imagenet-sketch').mkdir()
    os.symlink(imagenet / 'val', root / 'data/imagenet-sketch/sketch')
    for i in range(200):
        (root / 'data/imagenet-r' / f'n{i:08d}').mkdir(parents=True)
    write_image(root / 'data/imagenet-r/n00000007/a.jpg', rng)
    return root


def smaller(value):
    """The config with 32 pixels for 224 and 36 for 256, inside all transforms."""
    if isinstance(value, dict):
        return {key: smaller(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(smaller(item) for item in value)
    return {224: 32, 256: 36}.get(value, value) if type(value) is int else value


def shrink(name):
    config = Config.fromfile(CONFIGS / name)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config[loader].dataset
        dataset = dataset if 'pipeline' in dataset else dataset.dataset
        dataset.pipeline = smaller(dataset.pipeline)
        config[loader].update(batch_size=4, num_workers=0)
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    config.default_hooks.logger.interval = 1
    config.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, save_last=False)
    if config.optim_wrapper.get('type') == 'AmpOptimWrapper':  # it needs a GPU
        config.optim_wrapper.type = 'OptimWrapper'
        config.optim_wrapper.pop('loss_scale')
    backbone = config.model.get('backbone')
    if backbone is not None:
        backbone.init_cfg = None  # pretrained weights are not here
        if 'img_size' in backbone:
            backbone.img_size = 32
    config.work_dir = 'work'
    return config


@pytest.fixture
def project(data, tmp_path, monkeypatch):
    """A working directory with ``data/``; the pickles stand for those of the archives."""
    os.symlink(data / 'data', tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('mmpretrain.datasets.CIFAR10._check_integrity', lambda self: True)
    # MMEngine writes the config several times; pretty-printing it would take most of the test
    monkeypatch.setattr(
        Config,
        'pretty_text',
        property(lambda self: ''.join(f'{k} = {v!r}\n' for k, v in self.to_dict().items())),
    )
    return tmp_path


def finite_metrics(work_dir):
    rows = [
        json.loads(line) for path in Path(work_dir).rglob('scalars.json') for line in open(path)
    ]
    assert rows
    assert all(np.isfinite(v) for row in rows for v in row.values() if isinstance(v, float))
    return set().union(*rows)


# One config per combination of algorithm, kind of backbone and kind of data set.
TRAINED = [
    'paco/paco_resnet32_1xb128-step-400e_cifar100-lt-ir100.py',
    'paco/paco_resnet32_1xb128-step-400e_cifar10-lt-ir50.py',
    'paco/paco_resnet50_4xb32-coslr-400e_imagenet-lt.py',
    'paco/paco_resnet152-in1k-pre_4xb32-amp-coslr-30e_places-lt.py',
    'paco/paco_resnet200_4xb64-amp-coslr-400e_in1k.py',
    'gpaco/gpaco_resnet32_1xb128-step-400e_cifar100-lt-ir10.py',
    'gpaco/gpaco_resnet50_1xb128-step-400e_cifar100.py',
    'gpaco/gpaco_resnext50-32x4d_4xb32-coslr-400e_imagenet-lt.py',
    'gpaco/gpaco_resnet50_8xb16-coslr-400e_inat18.py',
    'gpaco/gpaco_resnet50_8xb64-coslr-400e_in1k.py',
    'gpaco/gpaco_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py',
    'gpaco/gpaco-single-view_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py',
    'baselines/multitask_resnet50_1xb128-step-400e_cifar100.py',
    'baselines/multitask_resnext50-32x4d_4xb32-coslr-400e_imagenet-lt.py',
    'baselines/multitask_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py',
    'baselines/ce_resnet32_1xb128-step-400e_cifar100-lt-ir100.py',
    'baselines/ce_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k.py',
    'baselines/balanced-softmax_resnet32_1xb128-step-400e_cifar10-lt-ir100.py',
    'baselines/balanced-softmax_resnet50_4xb32-coslr-400e_imagenet-lt.py',
    'baselines/balanced-softmax_resnet152-in1k-pre_4xb32-amp-coslr-30e_places-lt.py',
]


@pytest.mark.parametrize('name', TRAINED, ids=lambda name: name.rpartition('/')[2][:-3])
def test_trains_and_evaluates(name, project, run_tool):
    config = shrink(name)
    config.dump('config.py')
    run_tool('train', 'config.py')
    keys = finite_metrics('work')
    long_tailed = 'lt' in name.rpartition('_')[2] or 'inat' in name
    assert {'loss', 'long-tail/few' if long_tailed else 'accuracy/top1'} <= keys


ROBUSTNESS = 'gpaco/gpaco_resnet50_8xb64-coslr-400e_in1k{}.py'


def test_robustness_of_a_trained_model(project, run_tool):
    config = shrink(ROBUSTNESS.format(''))
    config.default_hooks.checkpoint.interval = 2
    config.dump('config.py')
    run_tool('train', 'config.py')
    for other, metric in (
        ('-c', 'imagenet-c/mCE_alexnet_normalised'),
        ('-r', 'imagenet-r/top1'),
        ('-sketch', 'imagenet-sketch/top1'),
    ):
        config = shrink(ROBUSTNESS.format(other))
        if other == '-c':
            config.test_dataloader.dataset.update(corruptions=['fog'], severities=[1])
        config.dump('test.py')
        run_tool('test', 'test.py', 'work/iter_2.pth', '--out', 'metrics.json')
        metrics = json.loads(Path('metrics.json').read_text())['metrics']
        assert 0 <= metrics[metric] <= 130
