"""The demo dataset class: reading, metadata, a missing folder."""

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS

from paco_seg.seg.datasets import DigitScenesDataset

PREFIX = dict(img_path='images/training', seg_map_path='annotations/training')


@pytest.fixture
def root(tmp_path):
    for folder in PREFIX.values():
        (tmp_path / folder).mkdir(parents=True)
    labels = np.arange(11, dtype=np.uint8).repeat(11).reshape(11, 11)
    for name in ('b', 'a'):
        cv2.imwrite(str(tmp_path / PREFIX['img_path'] / f'{name}.jpg'), np.zeros((11, 11, 3), 'u1'))
        cv2.imwrite(str(tmp_path / PREFIX['seg_map_path'] / f'{name}.png'), labels)
    return tmp_path


def test_reads_pairs_with_all_labels(root):
    dataset = DATASETS.build(
        dict(
            type='DigitScenesDataset',
            data_root=str(root),
            data_prefix=PREFIX,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
        )
    )
    assert len(dataset) == 2
    assert dataset[0]['img_path'].endswith('a.jpg')
    # the background is a class of its own: no label is shifted or ignored
    assert np.unique(dataset[0]['gt_seg_map']).tolist() == list(range(11))


def test_metainfo_is_complete():
    meta = DigitScenesDataset.METAINFO
    assert len(meta['classes']) == len(meta['palette']) == 11
    assert len({tuple(colour) for colour in meta['palette']}) == 11


@pytest.mark.parametrize('key', list(PREFIX))
def test_missing_folder_names_key_and_remedy(root, key):
    prefix = {**PREFIX, key: 'elsewhere'}
    message = rf'data_prefix\.{key}: .*elsewhere.*`paco-seg demo-data digit-scenes'
    with pytest.raises(FileNotFoundError, match=message):
        DigitScenesDataset(data_root=str(root), data_prefix=prefix)
