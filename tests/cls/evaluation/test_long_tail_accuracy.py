import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

from paco_seg.cls.evaluation import LongTailAccuracy, read_train_counts, shot_groups
from paco_seg.core.frequency import ClassFrequency, save_class_frequency

# two classes with many, two with a medium number of, one with few training images
COUNTS = [500, 101, 100, 20, 19]


def samples(pairs, num_classes=5):
    """One data sample per (label, prediction)."""
    for label, pred in pairs:
        score = torch.zeros(num_classes)
        score[pred] = 1
        yield DataSample().set_gt_label(label).set_pred_score(score).set_pred_label(pred).to_dict()


def evaluate(metric, pairs, **kwargs):
    metric.process(None, list(samples(pairs, **kwargs)))
    return metric.evaluate(len(pairs))


PAIRS = [(0, 0), (0, 0), (0, 1), (0, 0), (1, 1), (1, 0), (2, 2), (3, 0), (4, 4), (4, 4), (4, 0)]


def test_borders_of_the_groups():
    assert shot_groups(COUNTS).tolist() == [0, 0, 1, 1, 2]


def test_group_means_are_over_classes():
    result = evaluate(METRICS.build(dict(type='LongTailAccuracy', train_counts=COUNTS)), PAIRS)
    assert result == pytest.approx(
        {
            'long-tail/top1': 100 * 7 / 11,
            'long-tail/class_mean': (75 + 50 + 100 + 0 + 200 / 3) / 5,
            'long-tail/many': (75 + 50) / 2,
            'long-tail/medium': (100 + 0) / 2,
            'long-tail/few': 200 / 3,
        }
    )


def test_classes_without_test_images_and_empty_groups():
    result = evaluate(LongTailAccuracy(COUNTS), [(0, 0), (2, 2)])
    assert result['long-tail/many'] == 100
    assert 'long-tail/few' not in result  # its only class has no test image
    assert result['long-tail/class_mean'] == 100


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.cls.evaluation.long_tail_accuracy.print_log',
        lambda text, logger, level=None: lines.append(text),
    )
    return lines


def test_a_group_without_classes_is_left_out_and_named_once(logged):
    metric = LongTailAccuracy([500, 300])
    (warning,) = logged
    assert warning.startswith('LongTailAccuracy.many, few: expected classes in every group, got')
    assert "many 2, medium 0, few 0: all classes are 'many'" in warning
    for _ in range(2):
        result = evaluate(metric, [(0, 0), (1, 1)], num_classes=2)
    assert result.keys() == {'long-tail/top1', 'long-tail/class_mean', 'long-tail/many'}
    assert sum('expected' in line for line in logged) == 1
    assert "no class is in the group 'few'" in metric.why_absent('long-tail/few')
    assert metric.why_absent('long-tail/many') is None
    assert metric.why_absent('accuracy/top1') is None


def test_a_group_without_test_images_is_named_once(logged):
    metric = LongTailAccuracy(COUNTS)
    assert not logged
    for _ in range(2):
        evaluate(metric, [(0, 0), (2, 2)])
    assert [line for line in logged if 'no test image' in line] == [
        "LongTailAccuracy: no test image of the group 'few', whose value is left out"
    ]


def test_predicted_labels_without_scores():
    metric = LongTailAccuracy(COUNTS)
    rows = list(samples([(0, 0), (1, 0)]))
    for row in rows:
        row.pop('pred_score')
    metric.process(None, rows)
    assert metric.evaluate(2)['long-tail/top1'] == 50


def test_other_thresholds_and_classwise_values():
    result = evaluate(LongTailAccuracy(COUNTS, many=300, few=50, per_class=True), PAIRS)
    assert result['long-tail/medium'] == pytest.approx(75)
    assert result['long-tail/accuracy_classwise'] == pytest.approx([75, 50, 100, 0, 200 / 3])
    assert result['long-tail/train_images_classwise'] == COUNTS
    groups = ['many', 'medium', 'medium', 'few', 'few']
    assert result['long-tail/group_classwise'] == groups


def test_the_table_is_logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.cls.evaluation.long_tail_accuracy.print_log',
        lambda text, logger, level=None: lines.append(text),
    )
    metric = LongTailAccuracy(COUNTS, per_class=True)
    metric.dataset_meta = dict(classes=('ant', 'bee', 'cat', 'dog', 'eel [/sea]'))
    evaluate(metric, [(0, 0), (4, 0)])
    *warnings, table = lines
    assert len(warnings) == 1  # of the group medium, which has no test image
    many, few = (
        next(row for row in table.split('\n') if f'│ {g} ' in row) for g in ('many', 'few')
    )
    assert [cell.strip() for cell in many.split('│')[1:-1]] == ['many', '2', '601', '1', '100.00']
    assert [cell.strip() for cell in few.split('│')[1:-1]] == ['few', '1', '19', '1', '0.00']
    assert 'few: eel [/sea]' in table


def test_sources_of_the_counts(tmp_path):
    file = tmp_path / 'counts.json'
    file.write_text(json.dumps(COUNTS))
    assert read_train_counts(str(file)).tolist() == COUNTS
    (tmp_path / 'list.txt').write_text('a.jpg 0\nb.jpg 2\nc.jpg 2\n')
    config = dict(
        type='ImageListDataset',
        data_root=str(tmp_path),
        ann_file='list.txt',
        num_classes=3,
        check_files=False,
    )
    assert LongTailAccuracy(config).train_counts.tolist() == [1, 0, 2]
    assert config['type'] == 'ImageListDataset'  # the config can be used again


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ([[1, 2]], r'flat list .* got shape \(1, 2\)'),
        ([1.5, 2.0], 'got shape .* of float64'),
        ([1, -2], 'non-negative'),
    ],
)
def test_malformed_counts(counts, message, tmp_path):
    with pytest.raises(ValueError, match=f'train_counts: .*{message}'):
        read_train_counts(counts)
    file = tmp_path / 'counts.json'
    file.write_text(json.dumps(counts))
    with pytest.raises(ValueError, match=r'train_counts \(.*counts.json\): '):
        read_train_counts(str(file))


def test_neither_counts_nor_a_dataset():
    with pytest.raises(ValueError, match=r"train_counts: .*got the keys \['counts'\]"):
        read_train_counts(dict(counts=[1]))


@pytest.mark.parametrize(
    'bad', [[True, 2], [10**30, 1], [2**62, 2**62], ['1', 2], [float('inf'), 1]]
)
def test_counts_that_are_none(bad):
    with pytest.raises(ValueError, match=r'^train_counts: expected'):
        read_train_counts(bad)


def test_counts_of_permuted_classes(tmp_path):
    path = str(tmp_path / 'frequency.json')
    save_class_frequency(ClassFrequency(('a', 'b'), (30, 10), None, 40), path)
    metric = LongTailAccuracy(path)
    assert metric.train_counts.tolist() == [30, 10]
    metric.dataset_meta = dict(classes=('a', 'b'))
    with pytest.raises(
        ValueError, match=r"^train_counts: expected class 0 to be 'b' as in the data"
    ):
        metric.dataset_meta = dict(classes=('b', 'a'))


@pytest.mark.parametrize('threshold', [dict(many=100.5), dict(few='20'), dict(many=True)])
def test_thresholds_are_numbers_of_images(threshold):
    with pytest.raises(TypeError, match=r'(many|few): expected an integer'):
        LongTailAccuracy(COUNTS, **threshold)


def test_counts_of_another_data_set():
    with pytest.raises(ValueError, match=r'train_counts: expected 5 counts.* got 3'):
        evaluate(LongTailAccuracy([3, 2, 1]), [(0, 0)])


def test_counts_of_another_data_set_are_noticed_ahead_of_the_first_prediction():
    """The evaluator hands the classes over when the loop of the evaluation is built."""
    metric = LongTailAccuracy([3, 2, 1])
    with pytest.raises(
        ValueError,
        match=r'train_counts: expected 5 counts, one per class of the evaluated dataset, got 3',
    ):
        Evaluator([metric]).dataset_meta = dict(classes=tuple('abcde'))
    Evaluator([metric]).dataset_meta = dict(classes=tuple('abc'), name='letters')
    assert metric.dataset_meta['name'] == 'letters'
    Evaluator([metric]).dataset_meta = {}  # a dataset that does not name its classes


def test_a_label_beyond_the_counts():
    with pytest.raises(ValueError, match=r'expected 7 counts, one per class of the evaluated .* 5'):
        evaluate(LongTailAccuracy(COUNTS), [(6, 0)])


def test_thresholds_out_of_order():
    with pytest.raises(ValueError, match=r'few: expected <= many \(100\), got 101'):
        LongTailAccuracy(COUNTS, few=101)


def test_agrees_with_numpy_on_random_predictions():
    rng = np.random.default_rng(0)
    label, pred = rng.integers(0, 5, (2, 400))
    result = evaluate(LongTailAccuracy(COUNTS), np.stack([label, pred], axis=1).tolist())
    per_class = [100 * (pred[label == c] == c).mean() for c in range(5)]
    assert result['long-tail/many'] == pytest.approx(np.mean(per_class[:2]))
    assert result['long-tail/top1'] == pytest.approx(100 * (pred == label).mean())
