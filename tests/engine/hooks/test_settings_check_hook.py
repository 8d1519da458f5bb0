from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.optim import OptimWrapper, OptimWrapperDict, ReduceOnPlateauLR
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmpretrain.evaluation import Accuracy as MMPretrainAccuracy
from mmpretrain.evaluation import SingleLabelMetric
from mmseg.evaluation import IoUMetric
from torch import nn
from torch.utils.data import BatchSampler, DataLoader

from paco_seg.engine.hooks import SettingsCheckHook, settings_check_hook


class Accuracy:
    """A metric of that name, as in MMPretrain."""

    def __init__(self, topk):
        self.topk = topk


class Groups:
    """A metric that leaves out the mean of a group without classes."""

    def why_absent(self, name):
        return "no class is in the group 'tail'" if name.endswith('_tail') else None


def loop_of(metrics, classes=('a', 'b', 'c')):
    return SimpleNamespace(
        evaluator=SimpleNamespace(metrics=metrics),
        dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes))),
    )


def train_loop(kind=IterBasedTrainLoop, **values):
    loop = kind.__new__(kind)
    for name, value in values.items():
        setattr(loop, f'_{name}', value)
    return loop


def optim_wrapper(**settings):
    return OptimWrapper(torch.optim.SGD(nn.Linear(1, 1).parameters(), **settings))


def runner(metrics=(), hooks=(), head=None, loop=None, optim=None, loader=None, schedulers=()):
    model = nn.Module()
    if head is not None:
        model.head = nn.Module()
        for name, value in head.items():
            setattr(model.head, name, value)
    return SimpleNamespace(
        model=model,
        hooks=list(hooks),
        train_loop=loop or train_loop(max_iters=4, max_epochs=1),
        train_dataloader=loader,
        val_loop=loop_of(list(metrics)),
        test_loop=loop_of(list(metrics)),
        optim_wrapper=optim or optim_wrapper(lr=0.1),
        param_schedulers=list(schedulers),
    )


check = SettingsCheckHook().before_train


def test_an_epoch_without_a_step_is_refused():
    images = [0] * 5
    message = r'^train_dataloader\.batch_size: expected at most 5, .* drop_last is set, got 8'
    with pytest.raises(ValueError, match=message):
        check(runner(loader=DataLoader(images, 8, drop_last=True)))
    check(runner(loader=DataLoader(images, 8)))
    check(runner(loader=DataLoader(images, 5, drop_last=True)))
    endless = InfiniteSampler(images)
    check(runner(loader=DataLoader(images, 8, drop_last=True, sampler=endless)))
    batches = BatchSampler(endless, 8, drop_last=True)
    check(runner(loader=DataLoader(images, batch_sampler=batches)))


def test_an_interval_of_epochs_in_a_loop_of_iterations_is_refused():
    message = r'CheckpointHook\.by_epoch: expected False, since train_cfg counts .* 200 epochs'
    with pytest.raises(ValueError, match=message):
        check(runner(hooks=[CheckpointHook(interval=200)]))
    check(runner(hooks=[CheckpointHook(interval=200, by_epoch=False), CheckpointHook()]))


@pytest.mark.parametrize(('interval', 'warns'), [(4, True), (20, False), (-1, False)])
def test_checkpoints_inside_an_epoch_get_a_warning(monkeypatch, interval, warns):
    lines = []
    monkeypatch.setattr(settings_check_hook, 'print_log', lambda line, *_: lines.append(line))
    loop = train_loop(EpochBasedTrainLoop, max_epochs=2, max_iters=20)
    loop.dataloader = range(10)
    hook = CheckpointHook(by_epoch=False, interval=interval)
    SettingsCheckHook().before_train(runner(hooks=[hook], loop=loop))
    assert [line[:31] for line in lines] == ['CheckpointHook.by_epoch: expecte'[:31]] * warns


def test_an_ordinary_training_passes():
    check(
        runner(
            [Accuracy((1, 3)), Groups()],
            [
                CheckpointHook(interval=1, save_best='mIoU'),
                EarlyStoppingHook(monitor='mIoU_head'),
            ],
            dict(topk=(1, 3), cal_acc=True, num_classes=3),
            train_loop(EpochBasedTrainLoop, max_epochs=2, max_iters=0),
        )
    )


def test_a_training_without_evaluation_passes():
    nothing = runner(hooks=[CheckpointHook(save_best=None)])
    nothing.val_loop = None
    check(nothing)


@pytest.mark.parametrize('save_best', ['mIoU_tail', ['mIoU', 'mAcc_tail']])
def test_the_best_by_a_value_that_never_comes(save_best):
    with pytest.raises(
        ValueError,
        match=r"^default_hooks\.checkpoint\.save_best: .* Groups reports, got 'm.*_tail': no class",
    ):
        check(runner([Groups()], [CheckpointHook(save_best=save_best)]))


def test_an_early_stop_by_a_value_that_never_comes():
    with pytest.raises(ValueError, match=r"EarlyStoppingHook\.monitor: .* got 'mIoU_tail'"):
        check(runner([Groups()], [EarlyStoppingHook(monitor='mIoU_tail')]))


@pytest.mark.parametrize('when', ['before_train', 'before_test'])
def test_topk_beyond_the_classes(when):
    key = 'val_evaluator' if when == 'before_train' else 'test_evaluator'
    with pytest.raises(
        ValueError, match=rf'^{key}\.topk: expected .*\[1, 3\], got 5\. There are 3'
    ):
        getattr(SettingsCheckHook(), when)(runner([Accuracy((1, 5))]))


def test_a_metric_of_another_name_may_have_its_own_k():
    check(runner([SimpleNamespace(topk=(1, 500))]))


@pytest.mark.parametrize('topk', ['a', ('a',), 0, (1, 2.0), True])
def test_topk_that_is_no_number_of_classes(topk):
    head = dict(topk=topk, cal_acc=False, num_classes=3)
    with pytest.raises((TypeError, ValueError), match=r'^model\.head\.topk: expected'):
        check(runner(head=head))
    with pytest.raises((TypeError, ValueError), match=r'^val_evaluator\.topk: expected'):
        check(runner([Accuracy(topk)]))


def test_topk_of_a_head_counts_where_it_is_used():
    head = dict(topk=(1, 5), cal_acc=False, num_classes=3)
    check(runner(head=head))
    with pytest.raises(ValueError, match=r'^model\.head\.topk: expected .*\[1, 3\], got 5'):
        check(runner(head=head | dict(cal_acc=True)))


@pytest.mark.parametrize('value', [0, -5])
def test_a_training_of_no_step(value):
    with pytest.raises(ValueError, match=rf'^train_cfg\.max_iters: expected >= 1, got {value}'):
        check(runner(loop=train_loop(max_iters=value, max_epochs=1)))
    epochs = train_loop(EpochBasedTrainLoop, max_epochs=value, max_iters=value)
    with pytest.raises(ValueError, match=rf'^train_cfg\.max_epochs: expected >= 1, got {value}'):
        check(runner(loop=epochs))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_learning_rate_that_is_not_finite(value):
    wrapper = optim_wrapper(lr=value)
    for optim in (wrapper, OptimWrapperDict(one=optim_wrapper(lr=0.1), two=wrapper)):
        with pytest.raises(ValueError, match=rf'^optim_wrapper\.optimizer\.lr: .* got {value}'):
            check(runner(optim=optim))


@pytest.mark.parametrize(
    ('metric', 'message'),
    [
        (IoUMetric(iou_metrics=['mIOU']), r"iou_metrics: expected one of 'mIoU', .* got 'mIOU'"),
        (SingleLabelMetric(average='weighted'), r"average: expected one of 'macro', .*'weighted'"),
    ],
)
def test_settings_of_metrics_that_show_when_they_are_computed(metric, message):
    with pytest.raises(ValueError, match=f'^val_evaluator\\.{message}'):
        check(runner([metric]))
    with pytest.raises(ValueError, match=f'^test_evaluator\\.{message}'):
        SettingsCheckHook().before_test(runner([metric]))
    check(runner([IoUMetric(iou_metrics=['mIoU', 'mFscore']), SingleLabelMetric(average=None)]))


def test_windows_need_a_size():
    sliding = runner()
    sliding.model.test_cfg = dict(mode='slide', crop_size=(4, 4))
    with pytest.raises(ValueError, match=r'^model\.test_cfg\.stride: expected \(height, width\)'):
        check(sliding)
    sliding.model.test_cfg['stride'] = (2, 2)
    check(sliding)


@pytest.mark.parametrize('monitor', ['accuracy/top_1', 'single-label/f1'])
def test_a_schedule_by_a_value_that_never_comes(monitor):
    metrics = [MMPretrainAccuracy(), SingleLabelMetric(items=('precision', 'f1-score'))]
    optim = optim_wrapper(lr=0.1)
    plateau = ReduceOnPlateauLR(optim, monitor=monitor)
    known = r'accuracy/top1, single-label/f1-score, single-label/precision'
    with pytest.raises(ValueError, match=rf'^param_scheduler\.monitor: expected one of {known}'):
        check(runner(metrics, schedulers=[plateau], optim=optim))
    plateau.monitor = 'single-label/f1-score'
    check(runner(metrics, schedulers=[plateau], optim=optim))
