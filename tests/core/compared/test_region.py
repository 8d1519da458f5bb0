import math

import pytest
import torch
from references import region as reference
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import (
    classes_in_image,
    image_bias,
    predicted_region_loss,
    region_loss,
    region_means,
    region_rebalance_loss,
    soft_region_means,
    suppress_absent,
)

pytestmark = pytest.mark.region_rebalance

CLASSES = 4
PRIOR = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)


def batch(seed=0, images=2):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES - 1, (images, 4, 5), generator=generator)  # class 3 is absent
    labels[torch.rand(images, 4, 5, generator=generator) < 0.2] = 255
    return features, labels


@pytest.mark.parametrize('grouping', ['batch', 'image'])
def test_means_equal_the_reference(grouping):
    features, labels = batch()
    labels[1][labels[1] == 2] = 0  # class 2 in image 0 only
    means, present = region_means(features, labels, CLASSES, grouping=grouping)
    expected = reference.region_means(
        features.tolist(), labels.tolist(), 255, per_image=grouping == 'image'
    )
    assert means.shape == ((2 if grouping == 'image' else 1), CLASSES, 3)
    assert {tuple(key) for key in present.nonzero().tolist()} == set(expected)
    for (group, label), mean in expected.items():
        assert_close(means[group, label].tolist(), mean, rtol=1e-10, atol=1e-12)
    assert torch.equal(means[~present], torch.zeros_like(means[~present]))


def test_constant_features_make_all_regions_equal():
    _, labels = batch()
    constant = torch.tensor([1.0, -2.0, 3.0]).double().view(1, 3, 1, 1).expand(2, 3, 4, 5)
    for grouping in ('batch', 'image'):
        means, present = region_means(constant, labels, CLASSES, grouping=grouping)
        assert_close(means[present], constant[0, :, 0, 0].expand(int(present.sum()), 3))


def test_one_class_gives_the_global_mean():
    features, _ = batch()
    labels = torch.full((2, 4, 5), 2)
    means, present = region_means(features, labels, CLASSES)
    assert present.tolist() == [[False, False, True, False]]
    assert_close(means[0, 2], features.mean(dim=(0, 2, 3)))


def test_duplicating_an_image_moves_batch_regions_only():
    features, labels = batch()
    more, more_labels = (torch.cat([tensor, tensor[:1]]) for tensor in (features, labels))
    per_image, _ = region_means(features, labels, CLASSES, grouping='image')
    per_image_more, _ = region_means(more, more_labels, CLASSES, grouping='image')
    assert_close(per_image_more[:2], per_image)
    assert_close(per_image_more[2], per_image[0])
    per_batch, _ = region_means(features, labels, CLASSES)
    per_batch_more, _ = region_means(more, more_labels, CLASSES)
    assert (per_batch - per_batch_more).abs().max() > 1e-2


def test_permuting_pixels_within_a_class_and_images():
    features, labels = batch()
    means, present = region_means(features, labels, CLASSES)
    flat = features.transpose(0, 1).flatten(1)
    order = torch.arange(labels.numel())
    for label in range(3):
        places = (labels.flatten() == label).nonzero().flatten()
        order[places] = places[torch.randperm(len(places))]
    shuffled = flat[:, order].view(3, 2, 4, 5).transpose(0, 1)
    assert_close(region_means(shuffled, labels, CLASSES), (means, present))
    assert_close(region_means(features.flip(0), labels.flip(0), CLASSES), (means, present))


def test_ignored_pixels_have_no_influence():
    features, labels = batch()
    expected = region_means(features, labels, CLASSES)
    features = features.masked_fill((labels == 255).unsqueeze(1), math.nan).requires_grad_()
    means, present = region_means(features, labels, CLASSES)
    assert_close((means, present), expected)
    means.sum().backward()
    ignored = (labels == 255).unsqueeze(1).expand_as(features)
    assert torch.equal(features.grad[ignored], torch.zeros_like(features.grad[ignored]))


def test_another_ignore_index_and_small_integer_labels():
    features, labels = batch()
    expected = region_means(features, labels, CLASSES)
    assert_close(region_means(features, labels.to(torch.uint8), CLASSES), expected)
    renamed = labels.masked_fill(labels == 255, -1)
    assert_close(region_means(features, renamed, CLASSES, ignore_index=-1), expected)


@pytest.mark.parametrize('kept_mass', [1.0, 0.5])
def test_loss_equals_the_reference_in_the_published_convention(kept_mass):
    features, labels = batch()
    weight = torch.randn(CLASSES, 3, dtype=torch.float64)
    means, present = region_means(features, labels, CLASSES, grouping='image')
    actual = region_rebalance_loss(
        means @ weight.t(), present, prior=PRIOR, label_smoothing=1.0 - kept_mass
    )
    regions = reference.region_means(features.tolist(), labels.tolist(), 255, per_image=True)
    losses = []
    for (_, label), mean in regions.items():
        logits = (weight @ torch.tensor(mean, dtype=torch.float64)).tolist()
        losses.append(reference.rebalanced_cross_entropy(logits, label, PRIOR.tolist(), kept_mass))
    assert_close(actual.item(), sum(losses) / len(losses), rtol=1e-10, atol=0)


def test_uniform_prior_is_plain_cross_entropy():
    logits = torch.randn(1, CLASSES, CLASSES, dtype=torch.float64)
    present = torch.tensor([[True, True, False, True]])
    kept = [0, 1, 3]
    expected = F.cross_entropy(logits[0, kept], torch.tensor(kept))
    uniform = torch.full((CLASSES,), 0.25)
    assert_close(region_rebalance_loss(logits, present, prior=uniform), expected)
    assert_close(region_rebalance_loss(logits, present), expected)
    assert_close(
        region_rebalance_loss(logits, present, prior=PRIOR),
        region_rebalance_loss(logits, present, prior=165120 * PRIOR),  # counts or frequencies
    )


def test_only_ignored_pixels_give_zero_with_gradient():
    features, labels = batch()
    features.requires_grad_()
    means, present = region_means(features, torch.full_like(labels, 255), CLASSES)
    assert not present.any()
    weight = torch.randn(CLASSES, 3, dtype=torch.float64, requires_grad=True)
    loss = region_rebalance_loss(means @ weight.t(), present, prior=PRIOR, label_smoothing=0.5)
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(features.grad, torch.zeros_like(features))
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_absent_regions_may_hold_anything():
    logits = torch.randn(1, CLASSES, CLASSES, dtype=torch.float64)
    present = torch.tensor([[True, False, True, True]])
    expected = region_rebalance_loss(logits, present, prior=PRIOR)
    broken = logits.clone()
    broken[0, 1] = math.nan
    broken.requires_grad_()
    loss = region_rebalance_loss(broken, present, prior=PRIOR)
    assert_close(loss, expected)
    loss.backward()
    assert torch.equal(broken.grad[0, 1], torch.zeros(CLASSES).double())


def test_renaming_classes():
    features, labels = batch()
    weight = torch.randn(CLASSES, 3, dtype=torch.float64)

    def loss(label_map, rows, prior):
        means, present = region_means(features, label_map, CLASSES)
        return region_rebalance_loss(means @ rows.t(), present, prior=prior, label_smoothing=0.3)

    classes = torch.tensor([2, 0, 3, 1])
    inverse = classes.argsort()
    renamed = torch.where(labels == 255, labels, classes[labels.clamp(max=3)])
    assert_close(loss(renamed, weight[inverse], PRIOR[inverse]), loss(labels, weight, PRIOR))


def full_rr_batch():
    generator = torch.Generator().manual_seed(1)
    features, labels = batch()
    logits = torch.randn(2, CLASSES, 4, 5, generator=generator, dtype=torch.float64)
    regions = torch.randn(2, CLASSES, CLASSES + 1, generator=generator, dtype=torch.float64)
    return features, labels, logits, regions


def test_soft_means_equal_the_reference():
    features, _, logits, _ = full_rr_batch()
    expected = reference.soft_region_means(features.tolist(), logits.tolist())
    actual = soft_region_means(features, logits)
    assert_close(actual, torch.tensor(expected, dtype=torch.float64))


def test_certain_logits_make_soft_means_the_class_means():
    features, labels, _, _ = full_rr_batch()
    labels = labels.clamp(max=2)
    labels[:, 0] = 3  # every class in both images
    logits = 1e3 * F.one_hot(labels, CLASSES).permute(0, 3, 1, 2).double()
    expected, present = region_means(features, labels, CLASSES, grouping='image')
    means = soft_region_means(features, logits)
    assert_close(means[present], expected[present])
    absent = 1e3 * F.one_hot(labels, CLASSES + 1).permute(0, 3, 1, 2).double()
    assert torch.isfinite(soft_region_means(features, absent)).all()


def test_image_bias_is_the_mean_without_the_extra_class():
    _, _, _, regions = full_rr_batch()
    expected = [[sum(rows[:, c].tolist()) / CLASSES for c in range(CLASSES)] for rows in regions]
    assert_close(image_bias(regions), torch.tensor(expected, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r'region_logits: expected shape \(B, C, 4\)'):
        image_bias(regions[:, :3])


def test_classes_in_image_by_hand():
    labels = torch.tensor([[[0, 2], [255, 2]], [[255, 255], [255, 255]]])
    assert classes_in_image(labels, CLASSES).tolist() == [
        [True, False, True, False],
        [False, False, False, False],
    ]


def test_suppressing_absent_classes_as_published_and_as_meant():
    _, labels, logits, _ = full_rr_batch()
    labels[1] = 255
    present = classes_in_image(labels, CLASSES)
    released = suppress_absent(logits, present)
    assert torch.equal(released, logits * present[:, :, None, None])
    logits.requires_grad_()
    meant = suppress_absent(logits, present, released=False)
    assert torch.equal(meant[0].softmax(0)[3], torch.zeros(4, 5).double())
    loss = F.cross_entropy(meant, labels, ignore_index=255)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize('absent_weight', [0.0, 0.3, 1.0])
def test_predicted_region_loss_equals_the_reference(absent_weight):
    _, labels, _, regions = full_rr_batch()
    present = classes_in_image(labels, CLASSES)
    prior = torch.cat([PRIOR, torch.ones(1)])
    expected = reference.predicted_region_loss(
        regions.tolist(), present.tolist(), prior.tolist(), 0.8, absent_weight
    )
    actual = predicted_region_loss(
        regions, present, prior=prior, label_smoothing=0.2, absent_weight=absent_weight
    )
    assert_close(actual.item(), expected, rtol=1e-6, atol=0)


def test_bad_input_is_refused():
    features, labels = batch()
    with pytest.raises(ValueError, match=r"grouping: expected one of 'batch', 'image'"):
        region_means(features, labels, CLASSES, grouping='class')
    with pytest.raises(ShapeError, match=r'labels: expected shape \(2, 4, 5\), got \(2, 8, 10\)'):
        region_means(features, torch.zeros(2, 8, 10, dtype=torch.long), CLASSES)
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 2\) or 255, got \[2\]'):
        region_means(features, labels, 2)
    with pytest.raises(TypeError, match='labels'):
        region_means(features, labels.float(), CLASSES)
    logits = torch.zeros(1, CLASSES, CLASSES)
    present = torch.ones(1, CLASSES, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'prior: expected positive .* classes \[3\]'):
        region_rebalance_loss(logits, present, prior=torch.tensor([5, 2, 1, 0.0]))
    with pytest.raises(ShapeError, match='prior'):
        region_rebalance_loss(logits, present, prior=PRIOR[:3])
    with pytest.raises(ValueError, match='label_smoothing'):
        region_rebalance_loss(logits, present, label_smoothing=1.5)
    with pytest.raises(ShapeError, match='logits'):
        region_rebalance_loss(logits[:, :2], present)
    with pytest.raises(ShapeError, match='targets'):
        region_loss(logits, torch.zeros(2, 2, dtype=torch.long), present)
    with pytest.raises(ValueError, match='absent_weight'):
        predicted_region_loss(torch.zeros(1, 4, 5), present, absent_weight=-1.0)
