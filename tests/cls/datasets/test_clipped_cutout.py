import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS


@pytest.mark.parametrize(
    ('center', 'rows', 'columns'),
    [((10, 12), 16, 16), ((0, 0), 8, 8), ((31, 12), 9, 16), ((3, 30), 11, 10)],
)
def test_the_box_is_clipped_at_every_border(center, rows, columns):
    cutout = TRANSFORMS.build(dict(type='ClippedCutout', length=16))
    cutout._center = lambda *size: center
    img = np.full((32, 32, 3), 9, np.uint8)
    out = cutout(dict(img=img))['img']
    hole = (out == 0).all(-1)
    assert hole.sum() == rows * columns
    assert (hole.any(1).sum(), hole.any(0).sum()) == (rows, columns)
    assert (img == 9).all()


def test_centers_are_uniform_over_the_image():
    cutout = TRANSFORMS.build(dict(type='ClippedCutout', length=1, pad_val=1))
    np.random.seed(0)  # noqa: NPY002 (the transform draws from this stream)
    hits = sum(cutout(dict(img=np.zeros((4, 3, 1), int)))['img'][..., 0] for _ in range(6000))
    assert hits.sum() == 6000
    assert (abs(hits - 500) < 100).all()


def test_length_must_be_positive():
    with pytest.raises(ValueError, match='length: expected >= 1, got 0'):
        TRANSFORMS.build(dict(type='ClippedCutout', length=0))
