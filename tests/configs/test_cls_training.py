"""Every classification config trains two iterations and evaluates, on images in the real format.

The files lie where the configs expect them, with the real names, lists, folders and pickles;
images, batches, networks and the length of the training are small.
"""

import copy
import functools
import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.resolved_configs import load_config
from mmpretrain.registry import MODELS

from tests.configs.test_cls_recipes import OTHER_SETS, ROWS, TABLE, file_name

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


@pytest.fixture
def data(tmp_path_factory):
    return write_data(tmp_path_factory.getbasetemp() / 'project')


@functools.cache  # once per session, also for the modules that import the fixture
def write_data(root):
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


def shrink_network(model):
    """Depth and width; kinds of layers and of parts stay."""
    for member in model.get('members', ()):
        shrink_network(member)
    if 'backbone' not in model:
        return
    backbone = model.backbone
    backbone.init_cfg = None  # pretrained weights are not here
    if backbone.type == 'CIFARResNet':
        backbone.depth = 8
        return
    if backbone.type == 'VisionTransformer':
        width = 32
        backbone.arch = dict(
            embed_dims=width, num_layers=2, num_heads=2, feedforward_channels=2 * width
        )
        backbone.img_size = 32
    else:  # a bottleneck widens by 4, in the last of four stages by 2 ** 3
        base = 4
        width = base * 4 * 2**3
        backbone.update(depth=50, base_channels=base, stem_channels=base)
        if backbone.type == 'ResNeXt':
            backbone.groups = 2
    model.head.in_channels = width


def shrink(name):
    config = copy.deepcopy(load_config(name))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config[loader].dataset
        dataset = dataset if 'pipeline' in dataset else dataset.dataset
        dataset.pipeline = smaller(dataset.pipeline)
        config[loader].update(batch_size=4, num_workers=0)
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    config.default_hooks.logger.interval = 1
    config.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, save_last=False)
    shrink_network(config.model)
    config.work_dir = 'work'
    return config


@pytest.fixture
def project(data, tmp_path, monkeypatch):
    """A working directory with ``data/``; the pickles stand for those of the archives."""
    os.symlink(data / 'data', tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('mmpretrain.datasets.CIFAR10._check_integrity', lambda self: True)
    return tmp_path


def finite_metrics(work_dir):
    rows = [
        json.loads(line) for path in Path(work_dir).rglob('scalars.json') for line in open(path)
    ]
    assert rows
    assert all(np.isfinite(v) for row in rows for v in row.values() if isinstance(v, float))
    return set().union(*rows)


OTHER_METRICS = {
    '-c': 'imagenet-c/mCE_alexnet_normalised',
    '-r': 'imagenet-r/top1',
    '-sketch': 'imagenet-sketch/top1',
}


def evaluate(run_tool, config, *checkpoints):
    """Metrics of ``tools/test.py``."""
    config.dump('test.py')
    run_tool('test', 'test.py', *checkpoints, '--out', 'metrics.json')
    return json.loads(Path('metrics.json').read_text())['metrics']


@pytest.mark.parametrize('recipe', ROWS, ids=lambda recipe: recipe['id'])
def test_trains_and_evaluates(recipe, project, run_tool):
    name = file_name(recipe)
    config = shrink(name)
    config.default_hooks.checkpoint.interval = 2 if recipe.get('robustness') else -1
    config.dump('config.py')
    run_tool('train', 'config.py')
    keys = finite_metrics('work')
    long_tailed = 'imbalance_factor' in recipe or 'lists' in recipe
    # The few images of the test have no rare class, whose group is then left out.
    assert {'loss', 'long-tail/class_mean' if long_tailed else 'accuracy/top1'} <= keys
    if recipe.get('robustness'):
        for other in OTHER_SETS:
            config = shrink(name.replace('.py', f'{other}.py'))
            if other == '-c':
                config.test_dataloader.dataset.update(corruptions=['fog'], severities=[1])
            metrics = evaluate(run_tool, config, 'work/iter_2.pth')
            assert 0 <= metrics[OTHER_METRICS[other]] <= 130


@pytest.mark.parametrize('row', TABLE['ensembles'], ids=lambda row: row['id'])
def test_ensembles_evaluate(row, project, run_tool):
    config = shrink(row['config'])
    files = []
    for i, member in enumerate(config.model.members):
        files.append(f'{i}.pth')
        torch.save(dict(state_dict=MODELS.build(member).state_dict()), files[-1])
    assert len(files) == len(row['members'])
    metrics = evaluate(run_tool, config, '--ensemble', *files)
    assert 0 <= metrics['long-tail/top1'] <= 100
