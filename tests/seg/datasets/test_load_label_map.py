"""Labels of 16 bits keep their values, and 8-bit ones are those of the stock step."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS
from PIL import Image

from paco_seg.seg.datasets import LoadLabelMap


def load(tmp_path, values, transform, *, reduce=False, label_map=None):
    path = tmp_path / 'labels.png'
    Image.fromarray(np.asarray([values, values])).save(path)  # MM squeezes a single row away
    info = dict(
        seg_map_path=str(path), reduce_zero_label=reduce, label_map=label_map, seg_fields=[]
    )
    return transform(info)['gt_seg_map'][:1]


def test_sixteen_bits_are_kept(tmp_path):
    values = np.array([0, 255, 256, 513, 846, 65535], np.uint16)
    labels = load(tmp_path, values, LoadLabelMap(ignore_index=65535))
    assert labels.tolist() == [values.tolist()]
    assert labels.dtype == np.uint16


@pytest.mark.parametrize('reduce', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 0, 2: 255}])
def test_equals_the_stock_step_for_bytes(tmp_path, reduce, label_map):
    values = np.array([0, 1, 2, 3, 254, 255], np.uint8)
    with DefaultScope.overwrite_default_scope('mmseg'):
        stock = TRANSFORMS.build(dict(type='LoadAnnotations'))
    if reduce:
        values = np.delete(values, 4)
    kwargs = dict(reduce=reduce, label_map=label_map)
    expected = load(tmp_path, values, stock, **kwargs)
    assert load(tmp_path, values, LoadLabelMap(), **kwargs).tolist() == expected.tolist()


def test_zero_is_reduced_to_the_ignored_label(tmp_path):
    values = np.array([0, 1, 256, 65535], np.uint16)
    labels = load(tmp_path, values, LoadLabelMap(ignore_index=65535), reduce=True)
    assert labels.tolist() == [[65535, 0, 255, 65535]]


def test_classes_that_are_left_out_are_ignored(tmp_path):
    values = np.array([0, 1, 2], np.uint16)
    load_labels = LoadLabelMap(ignore_index=65535)
    assert load(tmp_path, values, load_labels, label_map={0: 255, 1: 0, 2: 1}).tolist() == [
        [65535, 0, 1]
    ]
    many = {i: i for i in range(300)}
    with pytest.raises(ValueError, match=r'metainfo\.classes: expected at most 255 custom classe'):
        load(tmp_path, values, load_labels, label_map=many)


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / 'labels.tif'
    Image.fromarray(np.array([[-1, 0]], np.int32)).save(path)
    info = dict(seg_map_path=str(path), reduce_zero_label=False, label_map=None, seg_fields=[])
    with pytest.raises(ValueError, match=r'labels\.tif: expected whole labels in \[0, 65535\]'):
        LoadLabelMap()(info)
    with pytest.raises(
        ValueError, match=r'^ignore_index: expected a value in \[0, 65535\], got -1'
    ):
        LoadLabelMap(ignore_index=-1)


def test_is_registered_and_says_its_settings():
    with DefaultScope.overwrite_default_scope('mmseg'):
        step = TRANSFORMS.build(dict(type='LoadLabelMap', ignore_index=7))
    assert 'ignore_index=7' in repr(step)


def test_an_image_alone_has_no_labels():
    """As in MMSegmentation's inference_model, which takes the stock step out by its name."""
    info = dict(img_path='a.png', seg_fields=[])
    assert LoadLabelMap()(info) == dict(img_path='a.png', seg_fields=[])
