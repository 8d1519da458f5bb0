"""What is read from the folder of a training."""

import json

import pytest

from paco_seg.comparison import collect


def test_missing_metric_names_what_is_there():
    with pytest.raises(ValueError, match=r"mIoU: .* got \['aAcc'\]. Set val_interval"):
        collect.final_metric([{'aAcc': 1}], 'mIoU')
    with pytest.raises(ValueError, match='got no validation'):
        collect.final_metric([], 'mIoU')


def test_collects_curves_and_time(tmp_path):
    log = tmp_path / 'stamp' / 'vis_data'
    log.mkdir(parents=True)
    rows = [
        {'loss': 2.0, 'time': 0.5, 'data_time': 0.1, 'step': 10},
        {'mIoU': 7.0, 'time': 9.0, 'data_time': 9.0, 'step': 10},
        {'loss': 1.0, 'time': 0.25, 'data_time': 0.1, 'step': 14},
    ]
    text = '\n'.join(json.dumps(row) for row in rows)
    (log / 'scalars.json').write_text(text + '\n{"loss": 0.')  # being written
    (log / 'config.py').write_text("train_cfg = dict(max_iters=28, type='IterBasedTrainLoop')")
    assert collect.collect_training(tmp_path) == {
        'loss': [[10, 2.0], [14, 1.0]],
        'validation': [{'mIoU': 7.0, 'step': 10}],
        'train_seconds': 0.5 * 10 + 0.25 * 4,
    }
    assert collect.training_progress(tmp_path) == 0.5
    assert collect.training_progress(tmp_path / 'stamp') == 0.0


def test_parameters_are_told_from_buffers():
    names = (
        'backbone.bn1.running_mean',
        'backbone.bn1.num_batches_tracked',
        'head.class_prior.counts',
        'head.queue.keys',
        'decode_head.branches.ceco.simplex',
        'momentum_encoder.updates',
    )
    assert all(collect.BUFFERS.search(name) for name in names)
    for name in ('backbone.bn1.weight', 'head.fc.bias', 'head.projector.0.weight'):
        assert not collect.BUFFERS.search(name)
