import gc
import json

import numpy as np
import pytest
import torch
from mmengine.fileio import load

from paco_seg.engine.results import (
    DumpPredictions,
    PerClassRecorder,
    describe_metrics,
    write_metrics,
)

CLASSES = ('a', 'b')


def written(tmp_path, metrics, per_class=None, classes=CLASSES):
    path = tmp_path / 'new' / 'out.json'
    content = describe_metrics(metrics, per_class=per_class or {}, classes=classes, config='c.py')
    write_metrics(str(path), content)
    assert [file.name for file in path.parent.iterdir()] == ['out.json']
    return json.loads(path.read_text())


def test_metrics_and_recorded_values(tmp_path):
    metrics = {'mIoU': np.float32(0.5), 'aAcc': torch.tensor(2.0)}
    assert written(tmp_path, metrics, {'IoU': [50.0, float('nan')]}) == {
        'config': 'c.py',
        'metrics': {'mIoU': 0.5, 'aAcc': 2.0},
        'per_class': {'class': ['a', 'b'], 'IoU': [50.0, None]},
    }


def test_lists_over_the_classes_are_told_from_others(tmp_path):
    metrics = {
        'accuracy/top1': 1.0,
        'single-label/recall_classwise': [1.0, 2.0],
        'curve': [1.0, 2.0, 3.0],
    }
    content = written(tmp_path, metrics)
    assert content['per_class'] == {'class': ['a', 'b'], 'recall': [1.0, 2.0]}
    assert content['metrics'] == {'accuracy/top1': 1.0, 'curve': [1.0, 2.0, 3.0]}
    assert written(tmp_path, {'mIoU': 1.0}, classes=None)['per_class'] is None


def test_a_table_of_the_metric_itself_comes_first(tmp_path):
    table = {'class': ['a', 'b'], 'group': ['head', 'tail'], 'IoU': [1.0, 2.0]}
    content = written(tmp_path, {'mIoU': 1.5, 'per_class': table}, {'IoU': [9.0, 9.0]})
    assert content['per_class'] == table
    assert content['metrics'] == {'mIoU': 1.5}


def test_recorder_watches_the_iou_metric():
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = {'classes': CLASSES}
    recorder = PerClassRecorder([metric])
    labels = torch.tensor([[0, 0, 1, 1]])
    prediction = torch.tensor([[0, 0, 0, 1]])
    metric.process({}, [{'pred_sem_seg': {'data': prediction}, 'gt_sem_seg': {'data': labels}}])
    metric.evaluate(1)
    assert recorder.values == {
        'IoU': pytest.approx([100 * 2 / 3, 50.0]),
        'Acc': pytest.approx([100.0, 50.0]),
    }


def predictions(number):
    shared = torch.arange(3.0)
    return [
        {'index': i, 'map': torch.full((2, 2), i), 'twice': [shared, shared], 'name': f'{i}.png'}
        for i in range(number)
    ]


@pytest.mark.parametrize('number', [0, 1, 300])
def test_predictions_are_written_as_they_come(tmp_path, number):
    """The list that MMEngine's own metric writes, without one in memory."""
    path = tmp_path / 'new' / 'out.pkl'
    metric = DumpPredictions(out_file_path=str(path))
    found = predictions(number)
    for start in range(0, number, 7):
        metric.process({}, found[start : start + 7])
        assert metric.results == []
        assert not path.exists()
    assert metric.evaluate(number) == {}
    assert [file.name for file in path.parent.iterdir()] == ['out.pkl']
    read = load(str(path))
    assert [str(item) for item in read] == [str(item) for item in found]
    assert all(item['twice'][0] is item['twice'][1] for item in read)


def test_a_test_that_does_not_end_leaves_the_old_predictions(tmp_path):
    path = tmp_path / 'out.pkl'
    path.write_bytes(b'old')
    metric = DumpPredictions(out_file_path=str(path))
    metric.process({}, predictions(2))
    assert len(list(tmp_path.iterdir())) == 2
    del metric
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == ['out.pkl']
    assert path.read_bytes() == b'old'


def test_several_processes_collect_their_predictions_first(tmp_path, monkeypatch):
    monkeypatch.setattr('paco_seg.engine.results.get_world_size', lambda: 2)
    out = tmp_path / 'out.pkl'
    metric = DumpPredictions(out_file_path=str(out))
    found = predictions(3)
    for prediction in found:
        metric.process({}, [prediction])
        assert not list(tmp_path.iterdir())
    assert metric.evaluate(3) == {}
    assert [str(item) for item in load(str(out))] == [str(item) for item in found]
    assert list(tmp_path.iterdir()) == [out]
