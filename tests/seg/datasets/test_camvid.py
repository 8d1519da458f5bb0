"""Eleven classes as they are, void ignored, also when only some of the classes are wanted."""

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS

from paco_seg.seg.datasets import CamVidDataset


@pytest.fixture
def root(tmp_path):
    for name, suffix in (('images', '.jpg'), ('masks', '.png')):
        (tmp_path / name / 'train').mkdir(parents=True)
        values = np.arange(12, dtype=np.uint8).reshape(3, 4)
        cv2.imwrite(str(tmp_path / name / 'train' / f'0001{suffix}'), values)
    return tmp_path


def labels(root, **settings):
    dataset = DATASETS.build(
        dict(
            type='CamVidDataset',
            data_root=str(root),
            data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
            **settings,
        )
    )
    assert len(dataset) == 1
    return dataset[0]['gt_seg_map'].reshape(-1).tolist()


def test_void_is_ignored(root):
    assert labels(root) == [*range(11), 255]


def test_some_of_the_classes(root):
    found = labels(root, metainfo=dict(classes=('road', 'sky')))
    assert found == [1, 255, 255, 0, *[255] * 8]


def test_a_colour_for_each_class():
    classes, palette = (CamVidDataset.METAINFO[key] for key in ('classes', 'palette'))
    assert len(classes) == len({tuple(color) for color in palette}) == 11
