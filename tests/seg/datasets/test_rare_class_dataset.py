"""Rare class sampling on eight images, of which one holds the rare class in a corner."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import paco_seg.seg  # noqa: F401
from paco_seg.core.compared.rare_classes import draw_probabilities

SIZE, CORNER = 40, 8


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmseg'):  # as in a run
        yield


@pytest.fixture
def data(tmp_path):
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    for number in range(8):
        labels = np.zeros((SIZE, SIZE), np.uint8)
        labels[SIZE // 2 :] = 1
        if number == 5:
            labels[:CORNER, :CORNER] = 2
        labels[-1] = 255
        cv2.imwrite(str(tmp_path / 'images' / f'{number}.png'), np.full((SIZE, SIZE, 3), number))
        cv2.imwrite(str(tmp_path / 'labels' / f'{number}.png'), labels)
    return tmp_path


def inner(folder, crop=20, **settings):
    return dict(
        type='BaseSegDataset', data_root=str(folder), img_suffix='.png', seg_map_suffix='.png',
        metainfo=dict(classes=('sky', 'road', 'sign')),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[
            dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
            dict(type='RandomCrop', crop_size=(crop, crop)), dict(type='PackSegInputs'),
        ],
        **settings,
    )  # fmt: skip


def build(dataset, **settings):
    return DATASETS.build(dict(type='mmseg.RareClassDataset', dataset=dataset, **settings))


def test_ranks_and_epochs_that_start_from_one_seed_draw_other_images(data):
    """MMEngine seeds all ranks alike, and workers that do not persist anew in every epoch."""
    dataset = build(inner(data), temperature=10.0, min_pixels=30, min_crop_ratio=0)

    def drawn(order):
        np.random.seed(7)  # noqa: NPY002
        return [dataset[index]['data_samples'].img_path[-5] for index in order]

    first = drawn(range(8))
    assert drawn(range(8)) == first
    assert drawn(range(7, -1, -1)) != first
    assert drawn(range(8, 16)) != first


def test_draws_classes_by_rarity_and_keeps_them_in_the_crop(data):
    np.random.seed(0)  # noqa: NPY002
    dataset = build(inner(data), temperature=0.5, min_pixels=30, tries=200)
    assert len(dataset) == 8
    assert dataset.metainfo['classes'] == ('sky', 'road', 'sign')
    half = SIZE * SIZE // 2
    pixels = [8 * half - CORNER**2, 8 * (half - SIZE), CORNER**2]
    np.testing.assert_allclose(dataset.probabilities, draw_probabilities(pixels, 0.5))
    images = Counter()
    for _ in range(60):
        sample = dataset[0]['data_samples']
        image = int(sample.img_path[-5])
        images[image] += 1
        if image == 5:
            labels = np.asarray(sample.gt_sem_seg.data)
            # drawn for the sign, or for sky or road, of which half a crop is far more than 15
            assert max((labels == c).sum() for c in range(3)) >= 15
    # a third of the draws and more are of the class that one image holds, against an eighth
    assert images[5] >= 20


def test_crops_keep_the_only_class_that_is_drawn(data):
    np.random.seed(1)  # noqa: NPY002
    dataset = build(inner(data), temperature=1e-3, min_pixels=10**6, tries=200)
    assert dataset.probabilities[2] == pytest.approx(1.0)
    for _ in range(10):  # no image has a million pixels of it: all that hold it are drawn
        sample = dataset[3]['data_samples']
        assert sample.img_path.endswith('5.png')
        assert int((sample.gt_sem_seg.data == 2).sum()) >= CORNER**2 / 2


def test_without_luck_the_best_crop_is_taken(data, monkeypatch):
    dataset = build(inner(data, crop=4), temperature=1e-3, min_crop_ratio=1.0, tries=3)
    found = []
    draw = type(dataset.dataset).__getitem__

    def counted(self, index):
        sample = draw(self, index)
        found.append(int((sample['data_samples'].gt_sem_seg.data == 2).sum()))
        return sample

    monkeypatch.setattr(type(dataset.dataset), '__getitem__', counted)
    kept = int((dataset[0]['data_samples'].gt_sem_seg.data == 2).sum())
    assert len(found) == 3  # a crop of 16 pixels never holds 64
    assert kept == max(found)


def test_a_ratio_of_zero_takes_the_first_crop(data, monkeypatch):
    dataset = build(inner(data, crop=4), temperature=1e-3, min_crop_ratio=0.0)
    drawn = []
    draw = type(dataset.dataset).__getitem__

    def counted(self, index):
        drawn.append(index)
        return draw(self, index)

    monkeypatch.setattr(type(dataset.dataset), '__getitem__', counted)
    kept = [int((dataset[0]['data_samples'].gt_sem_seg.data == 2).sum()) for _ in range(30)]
    assert drawn == [5] * 30  # the image that holds the class, once a draw
    assert min(kept) == 0


@DATASETS.register_module()
class Reversed:
    """As many images as its data set, at other indices."""

    def __init__(self, dataset):
        self.dataset = DATASETS.build(dataset)
        self.metainfo = self.dataset.metainfo

    def __len__(self):
        return len(self.dataset)

    def full_init(self):
        """Nothing is lazy."""


def test_wrapped_data_sets(data):
    np.random.seed(0)  # noqa: NPY002
    repeated = dict(type='mmengine.RepeatDataset', times=1000, dataset=inner(data))
    both = dict(type='mmengine.ConcatDataset', datasets=[inner(data), repeated])
    dataset = build(both, temperature=1e-3)
    assert len(dataset) == 8008
    assert list(dataset._index.positions[2]) == [5, 13]
    assert dataset[0]['data_samples'].img_path.endswith('5.png')
    balanced = dict(type='mmengine.ClassBalancedDataset', oversample_thr=0.1, dataset=inner(data))
    with pytest.raises((ValueError, NotImplementedError)):
        build(balanced)
    with pytest.raises(ValueError, match=r'got Reversed, which draws images itself'):
        build(dict(type='Reversed', dataset=inner(data)))


def test_the_index_is_kept_and_read_while_the_data_are_the_same(data, monkeypatch):
    file = data / 'index.json'
    first = build(inner(data), index_file=str(file))
    written = file.read_bytes()
    assert json.loads(written)['images'][5] == {'0': 736, '1': 760, '2': 64}
    monkeypatch.setattr('paco_seg.seg.datasets.class_index._count', None)  # nothing is counted
    again = build(inner(data), index_file=str(file))
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    monkeypatch.undo()
    for folder in ('images', 'labels'):
        (data / folder / '7.png').unlink()
    assert len(build(inner(data), index_file=str(file))._index.positions[0]) == 7
    assert file.read_bytes() != written


def test_the_index_of_label_maps_that_have_changed_is_not_used(data):
    file = data / 'index.json'
    build(inner(data), index_file=str(file))
    path = data / 'labels/5.png'
    cv2.imwrite(str(path), np.zeros_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))
    build(inner(data), index_file=str(file))
    assert json.loads(file.read_text())['images'][5] == {'0': SIZE * SIZE}


def test_a_damaged_index_is_refused(data):
    file = data / 'index.json'
    file.write_text('{"data":')
    with pytest.raises(ValueError, match=r'index_file.*Remove the file'):
        build(inner(data), index_file=str(file))


def test_an_unreadable_label_map_is_named(data):
    (data / 'labels/3.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'labels/3\.png: expected a label map'):
        build(inner(data))


def test_processes_that_wait_for_the_index_do_not_wait_for_one_that_failed(data, monkeypatch):
    met = []
    module = 'paco_seg.seg.datasets.rare_class_dataset'
    monkeypatch.setattr(f'{module}.barrier', lambda: met.append(1))
    (data / 'labels/3.png').write_bytes(b'no image')
    for is_main in (True, False):
        monkeypatch.setattr(f'{module}.is_main_process', lambda is_main=is_main: is_main)
        with pytest.raises(ValueError, match=r'labels/3\.png: expected a label map'):
            build(inner(data), index_file=str(data / 'index.json'))
    assert len(met) == 2


@pytest.mark.parametrize(
    'settings',
    [dict(temperature=0.0), dict(min_pixels=0), dict(min_crop_ratio=1.5), dict(tries=0)],
)
def test_settings_out_of_range(data, settings):
    (name,) = settings
    with pytest.raises(ValueError, match=rf'train_dataloader\.dataset\.{name}: expected'):
        build(inner(data), **settings)
    with pytest.raises(TypeError, match=r'dataset\.index_file: expected the path of a file, got 7'):
        build(inner(data), index_file=7)
