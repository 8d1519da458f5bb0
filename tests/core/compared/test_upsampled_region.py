from __future__ import annotations

import math

import pytest
import torch
from references import region as reference
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import region_means, upsampled_region_means

pytestmark = pytest.mark.region_rebalance

CLASSES = 5
SIZES = [
    ((4, 5), (16, 20)),
    ((4, 5), (13, 21)),
    ((3, 7), (7, 8)),
    ((1, 1), (5, 6)),
    ((2, 1), (2, 9)),
    ((6, 6), (4, 3)),
    ((4, 5), (4, 5)),
    ((3, 2), (1, 1)),
]


def batch(grid, size, dtype=torch.float64, images=2):
    """Class 4 is absent, class 3 has a single pixel, a fifth of the pixels is ignored."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(images, 3, *grid, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(3, (images, *size), generator=generator)
    labels[torch.rand(images, *size, generator=generator) < 0.2] = 255
    labels[0, -1, -1] = 3
    return features, labels


def upsampled(features, size, align_corners):
    return F.interpolate(features, size=size, mode='bilinear', align_corners=align_corners)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('grouping', ['batch', 'image'])
@pytest.mark.parametrize(('grid', 'size'), SIZES)
def test_equals_the_mean_of_upsampled_features(grid, size, grouping, align_corners):
    features, labels = batch(grid, size)
    means, present = upsampled_region_means(
        features, labels, CLASSES, grouping=grouping, align_corners=align_corners
    )
    expected = reference.region_means(
        upsampled(features, size, align_corners).tolist(),
        labels.tolist(),
        255,
        per_image=grouping == 'image',
    )
    assert means.shape == ((2 if grouping == 'image' else 1), CLASSES, 3)
    assert {tuple(key) for key in present.nonzero().tolist()} == set(expected)
    for (group, label), mean in expected.items():
        assert_close(means[group, label].tolist(), mean, rtol=1e-10, atol=1e-12)
    assert torch.equal(means[~present], torch.zeros_like(means[~present]))


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('grouping', ['batch', 'image'])
def test_gradients_equal_those_of_upsampled_features(grouping, align_corners):
    features, labels = batch((4, 5), (13, 21))
    weight = torch.randn(1, CLASSES, 3, dtype=torch.float64)
    results = []
    for exact in (True, False):
        leaf = features.clone().requires_grad_()
        if exact:
            means, _ = region_means(
                upsampled(leaf, (13, 21), align_corners), labels, CLASSES, grouping=grouping
            )
        else:
            means, _ = upsampled_region_means(
                leaf, labels, CLASSES, grouping=grouping, align_corners=align_corners
            )
        results.append(torch.autograd.grad((weight * means.square()).sum(), leaf)[0])
    assert_close(*results, rtol=1e-10, atol=1e-12)
    assert results[0].abs().sum() > 0


def test_a_class_between_the_grid_points_keeps_its_region():
    """Nearest labels on the grid lose it: one pixel of 16 x 16 beside a grid of 2 x 2."""
    features = torch.randn(1, 3, 2, 2)
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[0, 5, 5] = 1
    _, present = upsampled_region_means(features, labels, 2)
    assert present.tolist() == [[True, True]]
    assert labels[:, ::8, ::8].max() == 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_other_dtypes_and_autocast(dtype):
    features, labels = batch((8, 9), (61, 70), dtype)
    expected, _ = upsampled_region_means(features.double(), labels, CLASSES)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        means, _ = upsampled_region_means(features, labels.to(torch.uint8), CLASSES)
    assert means.dtype == torch.float32
    assert_close(means.double(), expected, rtol=1e-5, atol=1e-5)


def test_ignored_pixels_have_no_influence():
    features, labels = batch((4, 4), (16, 16))
    labels[:, :, 8:] = 255
    expected = upsampled_region_means(features, labels, CLASSES)
    # Pixels of the left half look at the three left columns of the grid.
    features[:, :, :, 3] = math.nan
    features.requires_grad_()
    means, present = upsampled_region_means(features, labels, CLASSES)
    assert_close((means, present), expected)
    means.sum().backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad[:, :, :, 3].abs().sum() == 0
    renamed = labels.masked_fill(labels == 255, -100)
    again = upsampled_region_means(features, renamed, CLASSES, ignore_index=-100)
    assert_close(again, (means, present))


def test_only_ignored_pixels_give_no_region_and_a_zero_gradient():
    features, labels = batch((4, 4), (9, 9))
    features.requires_grad_()
    means, present = upsampled_region_means(features, labels.fill_(255), CLASSES)
    assert not present.any()
    means.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_bad_input_is_named():
    features, labels = batch((4, 4), (9, 9))
    with pytest.raises(ShapeError, match=r'labels: expected shape \(2, H, W\), got \(1, 9, 9\)'):
        upsampled_region_means(features, labels[:1], CLASSES)
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 2\) or 255, got'):
        upsampled_region_means(features, labels, 2)
    with pytest.raises(ValueError, match=r"grouping: expected one of 'batch', 'image'"):
        upsampled_region_means(features, labels, CLASSES, grouping='pixel')
    with pytest.raises(TypeError, match='labels: expected integer class indices'):
        upsampled_region_means(features, labels.float(), CLASSES)
