"""Label maps are the ones training sees, for every benchmark's folders and conventions."""

import copy

import numpy as np
import pytest
from helpers.segmentation_data import WRITERS, write_benchmark
from helpers.segmentation_recipes import RECIPES, load_config
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from PIL import Image

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


@TRANSFORMS.register_module()
class LoadTwoBands(BaseTransform):
    """(H, W, 2) array of a .npy file; counts how often it runs."""

    runs = 0

    def transform(self, results):
        type(self).runs += 1
        results['img'] = np.load(results['img_path'])
        return results


@TRANSFORMS.register_module()
class LoadShapedLabels(BaseTransform):
    """Labels that need the image: zeros of its size."""

    def transform(self, results):
        results['gt_seg_map'] = np.zeros(results['img'].shape[:2], np.uint8)
        return results


@TRANSFORMS.register_module()
class LoadWithMissingPackage(BaseTransform):
    """Stands for loaders that need GDAL, which is not installed."""

    def __init__(self):
        raise RuntimeError('gdal is not installed')


def bands_config(root, *pipeline):
    """Config of two 6 x 8 images of two bands with 8-bit label maps."""
    for folder in ('img', 'ann'):
        (root / folder).mkdir()
    for i in range(2):
        np.save(root / 'img' / f'{i}.npy', np.full((6, 8, 2), i, np.uint8))
        Image.fromarray(np.full((6, 8), i, np.uint8)).save(root / 'ann' / f'{i}.png')
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        img_suffix='.npy',
        metainfo=dict(classes=('a', 'b')),
        pipeline=[dict(type=step) if isinstance(step, str) else step for step in pipeline],
    )
    return Config(dict(default_scope='mmseg', train_dataloader=dict(dataset=dataset)))


def test_a_loader_of_ones_own_reads_the_images(tmp_path):
    cfg = bands_config(tmp_path, 'LoadTwoBands', 'LoadAnnotations', 'PackSegInputs')
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert maps.image_size(maps.infos[0]) == (6, 8)
    LoadTwoBands.runs = 0
    assert maps.labels(maps.infos[1]).tolist() == [[1] * 8] * 6
    assert LoadTwoBands.runs == 0  # counting labels does not read images


def test_the_size_is_that_ahead_of_resizing(tmp_path):
    resize = dict(type='Resize', scale=(4, 3))
    cfg = bands_config(tmp_path, 'LoadTwoBands', resize, 'LoadAnnotations')
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert maps.image_size(maps.infos[0]) == maps.labels(maps.infos[0]).shape == (6, 8)


def test_labels_that_need_the_image_get_it(tmp_path):
    cfg = bands_config(tmp_path, 'LoadTwoBands', 'LoadShapedLabels', 'PackSegInputs')
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert maps.labels(maps.infos[0]).shape == maps.labels(maps.infos[1]).shape == (6, 8)


def test_labels_are_read_without_what_reads_the_images(tmp_path):
    cfg = bands_config(tmp_path, 'LoadWithMissingPackage', 'LoadAnnotations')
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert maps.labels(maps.infos[1]).max() == 1


def test_biomedical_volumes(tmp_path):
    load = dict(type='LoadBiomedicalData', with_seg=True)
    cfg = bands_config(tmp_path, load)
    for i in range(2):
        np.save(tmp_path / 'img' / f'{i}.npy', np.full((3, 4, 5, 6), i, np.uint8))
    (maps,) = label_maps_of(cfg, 'train_dataloader')
    assert maps.image_size(maps.infos[0]) == maps.labels(maps.infos[0]).shape == (4, 5, 6)


def test_foreign_configs_are_refused_in_words(tmp_path):
    cfg = bands_config(tmp_path, 'LoadTwoBands', 'LoadAnnotations')
    cfg.train_dataloader.dataset.type = 'NoSuchDataset'
    with pytest.raises(ValueError, match=r'dataset\.type: expected a registered segmentation dat'):
        list(label_maps_of(cfg, 'train_dataloader'))
    cfg.default_scope = 'mmpretrain'
    with pytest.raises(ValueError, match=r"default_scope: expected 'mmseg'.*, got 'mmpretrain'"):
        list(label_maps_of(cfg, 'train_dataloader'))


def test_a_set_without_images_is_refused(tmp_path):
    cfg = bands_config(tmp_path, 'LoadTwoBands', 'LoadAnnotations')
    cfg.train_dataloader.dataset.img_suffix = '.tif'
    with pytest.raises(
        ValueError, match=r'train_dataloader\.dataset: expected images, got none in'
    ):
        list(label_maps_of(cfg, 'train_dataloader'))
