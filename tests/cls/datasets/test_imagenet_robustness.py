import cv2
import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from paco_seg.cls.datasets import ALEXNET_ERRORS, IMAGENET_R_INDICES, ImageNetC, ImageNetR


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))


def test_constants():
    assert len(ALEXNET_ERRORS) == 15
    assert len(IMAGENET_R_INDICES) == 200
    assert list(IMAGENET_R_INDICES) == sorted(set(IMAGENET_R_INDICES))
    assert (IMAGENET_R_INDICES[0], IMAGENET_R_INDICES[-1]) == (1, 988)


def test_imagenet_c_walks_corruptions_and_severities(tmp_path):
    for corruption in ('fog', 'snow'):
        for severity in (1, 3):
            for wnid in ('n02', 'n01'):
                image(tmp_path / corruption / str(severity) / wnid / 'x.JPEG')
    data = DATASETS.build(
        dict(
            type='ImageNetC',
            data_root=str(tmp_path),
            corruptions=('fog', 'snow'),
            severities=(1, 3),
            num_classes=2,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PackInputs', meta_keys=('corruption', 'severity')),
            ],
        )
    )
    samples = [data[i]['data_samples'].to_dict() for i in range(len(data))]
    found = [(s['corruption'], s['severity'], int(s['gt_label'])) for s in samples]
    assert found == [(c, s, y) for c in ('fog', 'snow') for s in (1, 3) for y in (0, 1)]


def test_imagenet_c_refuses_incomplete_folders(tmp_path):
    image(tmp_path / 'fog' / '1' / 'n01' / 'x.JPEG')
    with pytest.raises(ValueError, match=r'fog/1: expected 1000 class folders, got 1'):
        ImageNetC(str(tmp_path), corruptions=('fog',))
    with pytest.raises(FileNotFoundError, match=r'fog/2: expected a folder with 1 class folders'):
        ImageNetC(str(tmp_path), corruptions=('fog',), num_classes=1)


def test_imagenet_r_labels_are_those_of_imagenet(tmp_path):
    with pytest.raises(FileNotFoundError, match='expected a folder with 200'):
        ImageNetR(data_root=str(tmp_path / 'nowhere'))
    for i in range(200):
        image(tmp_path / f'n{i:03d}' / 'x.jpg')
    data = ImageNetR(data_root=str(tmp_path))
    assert data.get_gt_labels().tolist() == list(IMAGENET_R_INDICES)
    assert data.metainfo['classes'][1] == 'goldfish, Carassius auratus'
