import pytest
import torch
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

from paco_seg.cls.datasets import ALEXNET_ERRORS, IMAGENET_R_INDICES
from paco_seg.cls.evaluation import ImageNetCError, SubsetAccuracy


def corrupted(corruption, severity, hits, misses):
    for pred in [0] * hits + [1] * misses:
        sample = DataSample().set_gt_label(0).set_pred_label(pred).to_dict()
        yield dict(sample, corruption=corruption, severity=severity)


def test_both_averages():
    metric = METRICS.build(dict(type='ImageNetCError'))
    # unequal numbers of images per severity: the mean is over severities, not over images
    metric.process(None, list(corrupted('fog', 1, hits=3, misses=1)))
    metric.process(None, list(corrupted('fog', 2, hits=1, misses=1)))
    metric.process(None, list(corrupted('snow', 1, hits=1, misses=4)))
    result = metric.evaluate(11)
    fog, snow = 1 - (0.75 + 0.5) / 2, 0.8
    assert result['imagenet-c/error_fog'] == pytest.approx(100 * fog)
    assert result['imagenet-c/error_snow'] == pytest.approx(100 * snow)
    assert result['imagenet-c/mean_error'] == pytest.approx(100 * (fog + snow) / 2)
    assert result['imagenet-c/mCE_alexnet_normalised'] == pytest.approx(
        100 * (fog / 0.819324 + snow / 0.866816) / 2
    )


def test_augmentations_at_test_count_by_their_merged_score():
    # MMPretrain merges the scores, and keeps the label of the first augmentation.
    sample = DataSample().set_gt_label(1).set_pred_label(0).set_pred_score(torch.tensor([0.4, 0.6]))
    metric = ImageNetCError()
    metric.process(None, [dict(sample.to_dict(), corruption='fog', severity=1)])
    assert metric.evaluate(1)['imagenet-c/error_fog'] == 0.0


def test_alexnet_itself_has_an_mce_of_100():
    metric = ImageNetCError()
    for corruption, error in ALEXNET_ERRORS.items():
        wrong = round(1000 * error)
        metric.process(None, list(corrupted(corruption, 1, hits=1000 - wrong, misses=wrong)))
    result = metric.evaluate(15000)
    assert result['imagenet-c/mCE_alexnet_normalised'] == pytest.approx(100, abs=0.05)
    # the ratio by which the two published columns differ
    assert result['imagenet-c/mean_error'] == pytest.approx(78.8, abs=0.1)


def test_samples_have_to_name_the_corruption():
    sample = DataSample().set_gt_label(0).set_pred_label(0).to_dict()
    with pytest.raises(KeyError, match='meta_keys'):
        ImageNetCError().process(None, [sample])


def test_unknown_corruption():
    metric = ImageNetCError()
    metric.process(None, list(corrupted('rain', 1, 1, 0)))
    with pytest.raises(ValueError, match=r"reference_errors: .* none for \['rain'\]"):
        metric.evaluate(1)


def scored(label, scores):
    sample = DataSample().set_gt_label(label).set_pred_score(torch.tensor(scores))
    return sample.to_dict()


def test_other_classes_cannot_win():
    metric = METRICS.build(dict(type='SubsetAccuracy', class_indices=[0, 2]))
    rows = [scored(0, [0.3, 0.9, 0.1]), scored(2, [0.3, 0.9, 0.1]), scored(2, [0.1, 0.9, 0.2])]
    metric.process(None, rows)
    assert metric.evaluate(3) == {'subset/top1': pytest.approx(200 / 3)}


def test_imagenet_r_classes():
    assert SubsetAccuracy('imagenet-r').class_indices == list(IMAGENET_R_INDICES)


@pytest.mark.parametrize(
    ('indices', 'message'), [([], r'got \[\]'), ('cifar', "got 'cifar'"), ([1, 1], 'distinct')]
)
def test_bad_indices(indices, message):
    with pytest.raises(ValueError, match=f'class_indices: .*{message}'):
        SubsetAccuracy(indices)


def test_labels_and_scores_have_to_fit():
    with pytest.raises(ValueError, match='gt_label: expected one of the 2 class_indices, got 1'):
        SubsetAccuracy([0, 2]).process(None, [scored(1, [0.0, 0.0, 0.0])])
    with pytest.raises(ValueError, match='class_indices: expected indices below the 2 classes'):
        SubsetAccuracy([0, 2]).process(None, [scored(0, [0.0, 0.0])])
