"""Label maps are the ones training sees, for every benchmark's folders and conventions."""

import copy

import numpy as np
import pytest
from helpers.segmentation_data import WRITERS, write_benchmark
from helpers.segmentation_recipes import RECIPES, load_config
from PIL import Image

from paco_seg.engine.parallel import map_in_parallel
from paco_seg.seg.datasets.label_maps import label_maps_of


def benchmark_config(name, root, num=2):
    recipe = next(recipe for recipe in RECIPES if recipe['benchmark'] == name)
    write_benchmark(name, root, size=(20, 28), num=num)
    cfg = copy.deepcopy(load_config(recipe['config']))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].dataset.data_root = str(root)
    return cfg


@pytest.mark.parametrize('name', WRITERS)
def test_labels_equal_those_of_the_pipeline(name, tmp_path):
    cfg = benchmark_config(name, tmp_path)
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert len(maps.infos) == 2
    for info in maps.infos:
        labels = maps.labels(info)
        assert labels.shape == maps.image_size(info) == (20, 28)
        assert set(np.unique(labels)) <= {*range(len(maps.classes)), maps.ignore_index}
    np.testing.assert_array_equal(maps.labels(maps.infos[0]), maps.labels(maps.infos[0]))
    # Value 1 of the file is class 0 where zero is reduced.
    if maps.dataset.reduce_zero_label:
        raw = np.asarray(Image.open(maps.infos[0]['seg_map_path'])).astype(int)
        expected = np.where(raw == 0, 255, raw - 1)
        np.testing.assert_array_equal(maps.labels(maps.infos[0]), expected)


def test_wrapped_datasets_are_found(tmp_path):
    cfg = benchmark_config('cityscapes', tmp_path)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=3, dataset=inner), inner]
    )
    assert [len(maps.infos) for maps in label_maps_of(cfg, 'train_dataloader')] == [2, 2]


def test_custom_classes_are_mapped(tmp_path):
    cfg = benchmark_config('cityscapes', tmp_path)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('car', 'road'))
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert maps.classes == ('car', 'road')
    assert set(np.unique(maps.labels(maps.infos[0]))) <= {0, 1, 255}


def test_errors_name_the_key(tmp_path):
    cfg = benchmark_config('cityscapes', tmp_path)
    with pytest.raises(ValueError, match='other_dataloader: expected a dataloader, got none'):
        list(label_maps_of(cfg, 'other_dataloader'))
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile')]
    with pytest.raises(
        ValueError, match=r'train_dataloader\.dataset\.pipeline: expected a LoadAnnotations'
    ):
        list(label_maps_of(cfg, 'train_dataloader'))
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match=r'train_dataloader\.dataset\.data_root'):
        list(label_maps_of(cfg, 'train_dataloader'))


def test_no_classes_is_refused(tmp_path):
    cfg = benchmark_config('cityscapes', tmp_path)
    cfg.train_dataloader.dataset.type = 'BaseSegDataset'
    with pytest.raises(ValueError, match=r'dataset\.metainfo\.classes: expected class names'):
        list(label_maps_of(cfg, 'train_dataloader'))


def add(datasets, task):
    return datasets[0] + task


def test_map_in_parallel_keeps_the_order(capsys):
    assert list(map_in_parallel(add, [10], range(7), jobs=2, chunksize=2)) == list(range(10, 17))
    assert '7/7' in capsys.readouterr().err
