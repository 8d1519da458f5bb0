"""The confusion matrix against loops, its metrics against MMSegmentation's, and kept samples."""

import json

import cv2
import numpy as np
import pytest
import torch

from paco_seg.engine.class_confusion import ClassConfusion, per_class

MAPS = [
    ([[0, 0, 1], [1, 2, 255]], [[0, 1, 1], [1, 2, 0]]),
    ([[2, 2, 0], [0, 0, 0]], [[2, 0, 0], [0, 0, 2]]),
]


def segmentation(index):
    label, pred = (torch.tensor([part]) for part in MAPS[index])
    return dict(img_path=f'{index}.png', gt_sem_seg=dict(data=label), pred_sem_seg=dict(data=pred))


def image(index, label, pred):
    return dict(
        img_path=f'{index}.png', gt_label=torch.tensor([label]), pred_label=torch.tensor([pred])
    )


def evaluate(metric, samples):
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def loops():
    matrix = np.zeros((4, 4), dtype=int)
    for label, pred in MAPS:
        for row_label, row_pred in zip(label, pred, strict=True):
            for one, other in zip(row_label, row_pred, strict=True):
                if one < 4:
                    matrix[one, other] += 1
    return matrix


def test_matrix_and_metrics_of_label_maps(tmp_path):
    metrics = evaluate(ClassConfusion(4, out_dir=str(tmp_path)), [segmentation(0), segmentation(1)])
    assert json.loads((tmp_path / 'confusion.json').read_text()) == loops().tolist()
    assert metrics['aAcc'] == pytest.approx(100 * 8 / 11)
    # class 3 occurs nowhere
    expected = [100 * 4 / 7, 100 * 2 / 3, 100 * 2 / 4]
    assert per_class(loops(), 'IoU')[:3].tolist() == pytest.approx(expected)
    assert metrics['mIoU'] == pytest.approx(np.mean(expected))


def test_metrics_of_label_maps_are_those_of_mmsegmentation():
    from mmseg.evaluation import IoUMetric

    stock = IoUMetric()
    stock.dataset_meta = dict(classes=tuple('abcd'))
    samples = [segmentation(0), segmentation(1)]
    theirs, ours = evaluate(stock, samples), evaluate(ClassConfusion(4), samples)
    assert {key: round(value, 2) for key, value in ours.items()} == pytest.approx(
        {key: theirs[key] for key in ours}
    )


def test_metrics_of_images():
    metric = ClassConfusion(3, 'accuracy')
    samples = [image(0, 0, 0), image(1, 0, 0), image(2, 0, 1), image(3, 1, 1)]
    metrics = evaluate(metric, samples)
    assert metrics['top1'] == pytest.approx(75)
    assert metrics['class_mean'] == pytest.approx((200 / 3 + 100) / 2)


def test_keeps_the_label_map_with_the_most_pixels_of_a_rare_class(tmp_path):
    metric = ClassConfusion(4, rare=(2, 1), out_dir=str(tmp_path))
    evaluate(metric, [segmentation(0), segmentation(1)])
    rows = json.loads((tmp_path / 'examples.json').read_text())
    assert [(row['img_path'], row['rare']) for row in rows] == [('1.png', 2), ('0.png', 1)]
    label = cv2.imread(str(tmp_path / rows[1]['label']), cv2.IMREAD_UNCHANGED)
    assert label.tolist() == MAPS[0][0]
    pred = cv2.imread(str(tmp_path / rows[1]['pred']), cv2.IMREAD_UNCHANGED)
    assert pred.tolist() == MAPS[0][1]


def test_keeps_the_first_images_of_a_rare_class(tmp_path):
    metric = ClassConfusion(3, 'accuracy', rare=(1,), out_dir=str(tmp_path))
    evaluate(metric, [image(0, 0, 1), image(1, 1, 0), image(2, 1, 1), image(3, 1, 1)])
    rows = json.loads((tmp_path / 'examples.json').read_text())
    assert rows == [
        dict(img_path='1.png', rare=1, label=1, pred=0),
        dict(img_path='2.png', rare=1, label=1, pred=1),
    ]


def test_refuses_an_unknown_measure():
    with pytest.raises(ValueError, match='measure: expected'):
        ClassConfusion(3, 'mIoU')
