"""What the Runner says before the first step, and of the results."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from paco_seg.engine.checkpoint import load_from_local


def test_it_says_what_it_does_before_the_first_step(tiny_seg, run_tool, capsys):
    run_tool('train', tiny_seg('train_cfg["max_iters"] = 1\n'))
    printed = capsys.readouterr().out
    assert 'Building the model' in printed
    assert 'train_dataloader: 7 items' in printed
    assert printed.index('Building the model') < printed.index('train_dataloader: 7 items')


def test_no_config_is_replaced_by_another(tiny_seg, run_tool, tmp_path):
    config = tiny_seg('train_cfg["max_iters"] = 3\n')
    run_tool('train', config)
    left = tmp_path / 'work/config.py'
    before = left.read_text()
    # Of a test, which has load_from and other hooks.
    run_tool('test', config, tmp_path / 'work/iter_3.pth')
    assert left.read_text() == before
    # Of a training, in the place of the very file that was read.
    own = tmp_path / 'work/own.py'
    own.write_text(f"_base_ = '{config}'  # short\n")
    run_tool('train', own)
    assert own.read_text().endswith('# short\n')
    assert len(list((tmp_path / 'work').glob('*/own.py'))) == 1


def test_a_line_of_results_has_no_tables(tiny_seg, run_tool, capsys, tmp_path, monkeypatch):
    from mmseg.evaluation import IoUMetric

    compute = IoUMetric.compute_metrics

    def with_table(self, results):
        return {**compute(self, results), 'per_class': {'IoU': [1.0, 2.0]}}

    monkeypatch.setattr(IoUMetric, 'compute_metrics', with_table)
    config = tiny_seg('train_cfg["max_iters"] = 3\n')
    run_tool('train', config)
    run_tool('test', config, tmp_path / 'work/iter_3.pth', '--out', tmp_path / 'out.json')
    printed = capsys.readouterr().out
    assert 'mIoU: ' in printed
    assert 'per_class' not in printed
    assert json.loads((tmp_path / 'out.json').read_text())['per_class'] == {'IoU': [1.0, 2.0]}


@pytest.mark.parametrize('workers', [0, 1])
def test_an_image_of_another_size_in_a_batch_is_named(tiny_cls, run_tool, tmp_path, workers):
    config = tiny_cls(f'train_dataloader["num_workers"] = {workers}\n')
    odd = sorted((tmp_path / 'data/train').glob('*/*.png'))[0]
    cv2.imwrite(str(odd), np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=rf'train_dataloader: .* got {odd} of \(3, 7, 8\)\. Resi'):
        run_tool('train', config)


@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_item_is_named(tiny_seg, run_tool, tmp_path, workers):
    config = tiny_seg(f'data_check = False\ntrain_dataloader["num_workers"] = {workers}\n')
    for image in (tmp_path / 'data/images/train').iterdir():
        image.write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset: .*data/images/train/\d\.png'):
        run_tool('train', config)


FAILS = """
val_evaluator = dict(type='FailingIoUMetric', iou_metrics=['mIoU'])
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
default_hooks['checkpoint'] = dict(type='CheckpointHook', by_epoch=False, interval=4)
custom_hooks = [dict(type='EMAHook', momentum=0.5)]
"""
FAILING_HOOK = "custom_hooks.insert(0, dict(type='FailingHook'))\n"


class FailingIoUMetric(IoUMetric):
    """What fails when it is computed."""

    def compute_metrics(self, results):
        raise KeyError('nothing')


class FailingHook(Hook):
    """What fails before EMAHook has put the weights back."""

    def after_val_epoch(self, runner, metrics=None):
        raise KeyError('nothing')


@pytest.mark.parametrize('where', ['metric', 'hook'])
def test_a_failing_validation_loses_no_step(
    tiny_seg, run_tool, tmp_path, monkeypatch, capsys, where
):
    monkeypatch.setitem(METRICS.module_dict, 'FailingIoUMetric', FailingIoUMetric)
    monkeypatch.setitem(HOOKS.module_dict, 'FailingHook', FailingHook)
    sound = FAILS.replace('FailingIoUMetric', 'IoUMetric')
    with pytest.raises(KeyError, match='nothing'):
        run_tool('train', tiny_seg(FAILS if where == 'metric' else sound + FAILING_HOOK))
    kept = tmp_path / 'work/iter_2.pth'
    assert f'{kept} has all steps so far' in ''.join(capsys.readouterr())
    found = load_from_local(str(kept))
    works = tiny_seg(sound)
    options = ['--cfg-options', 'default_hooks.checkpoint.interval=2']
    run_tool('train', works, '--work-dir', tmp_path / 'whole', *options)
    expected = load_from_local(str(tmp_path / 'whole/iter_2.pth'))
    for part in ('state_dict', 'ema_state_dict'):
        for name, value in expected[part].items():
            assert torch.equal(value, found[part][name]), name
    run_tool('train', works, '--resume')
    assert (tmp_path / 'work/iter_4.pth').is_file()


def test_a_default_hook_of_any_name_can_be_switched_off(tiny_seg, run_tool, tmp_path):
    run_tool('train', tiny_seg("default_hooks['early'] = None\ntrain_cfg['max_iters'] = 1\n"))
    assert (tmp_path / 'work/iter_1.pth').is_file()
