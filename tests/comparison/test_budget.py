"""Schedules in iterations: the same curve over another length."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from paco_seg.comparison.budget import config_iters, left_out, length_changes, scaled_scheduler
from paco_seg.engine.model_changes import apply_changes


def test_scheduler_of_iterations_is_stretched():
    before = dict(type='PolyLR', power=0.9, begin=1500, end=80000, by_epoch=False)
    assert scaled_scheduler(before, 7, 0.01) == dict(before, begin=15, end=800)


def test_scheduler_of_epochs_counts_iterations():
    before = dict(type='MultiStepLR', milestones=[160, 180], gamma=0.1, by_epoch=True)
    assert scaled_scheduler(before, 10, 1.0) == dict(
        type='MultiStepLR', milestones=[1600, 1800], gamma=0.1, by_epoch=False
    )
    # MMEngine's default counts epochs.
    assert scaled_scheduler(dict(type='CosineAnnealingLR', T_max=20), 10, 0.5) == dict(
        type='CosineAnnealingLR', T_max=100, by_epoch=False
    )


def test_warm_up_converted_by_mmengine_is_converted_once():
    before = dict(type='LinearLR', end=5, by_epoch=True, convert_to_iter_based=True)
    assert scaled_scheduler(before, 10, 1.0) == dict(type='LinearLR', end=50, by_epoch=False)


def test_exponential_decay_ends_where_it_did():
    scaled = scaled_scheduler(dict(type='ExponentialLR', gamma=0.9, by_epoch=True), 10, 1.0)
    assert scaled['gamma'] ** 10 == pytest.approx(0.9)


def test_short_schedules_stay_possible():
    before = dict(type='LinearLR', begin=100, end=200, by_epoch=False)
    assert scaled_scheduler(before, 1, 1e-4) == dict(before, begin=0, end=1)
    endless = dict(type='ConstantLR', begin=0, end=10**9, by_epoch=False)
    assert scaled_scheduler(endless, 1, 0.1)['end'] == 10**9


@pytest.mark.parametrize(
    'warm_up',
    [
        dict(type='LinearLR', start_factor=1e-6),
        dict(type='mmengine.ConstantLR', factor=0.1),
        dict(type='LinearParamScheduler', param_name='lr', start_factor=0.1),
    ],
)
@pytest.mark.parametrize('iters', [1, 20, 150, 200, 160_000])
def test_the_rate_comes_to_that_of_the_config_however_short_the_training(warm_up, iters):
    schedule = [
        dict(warm_up, by_epoch=False, begin=0, end=1500),
        dict(type='PolyLR', power=1.0, by_epoch=False, begin=1500, end=160_000),
    ]
    cfg = Config(dict(train_cfg=dict(max_iters=160_000), param_scheduler=schedule))
    changed = apply_changes(cfg, length_changes(cfg, iters), ())
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optimizer))
        for scheduler in changed.param_scheduler
    ]
    rates = []
    for _ in range(min(iters, 2000)):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert max(rates) > 0.97
    assert (len(schedulers) == 1) == (iters <= 150)


@pytest.mark.parametrize(
    ('begin', 'iters', 'expected'),
    [
        (dict(begin_iter=20), 20, 10),
        (dict(begin_epoch=2), 20, 10),
        (dict(begin_iter=39), 1, 1),
        (dict(begin_iter=1000), 6, 6),
    ],
)
def test_an_average_of_the_weights_begins_at_the_same_share(begin, iters, expected):
    hook = dict(type='mmpretrain.EMAHook', momentum=1e-3, **begin)
    cfg = Config(dict(train_cfg=dict(max_epochs=4), custom_hooks=[hook]))
    changed = apply_changes(cfg, length_changes(cfg, iters, per_epoch=10), ())
    assert changed.custom_hooks == [
        dict(type='mmpretrain.EMAHook', momentum=1e-3, begin_iter=expected)
    ]


def test_steps_of_the_rate_end_where_they_did():
    before = dict(type='StepLR', step_size=1, gamma=0.98)
    for iters in (200, 440, 460, 2000, 300 * 5005):
        scaled = scaled_scheduler(before, 5005, iters / (300 * 5005))
        steps = iters / scaled['step_size']
        assert scaled['gamma'] ** steps == pytest.approx(0.98**300, rel=0.06)
    whole = scaled_scheduler(dict(before, step_size=30), 5005, 0.5)
    assert whole == dict(before, step_size=75075, by_epoch=False)


def test_default_hooks_are_treated_as_others_are():
    cfg = config()
    cfg.default_hooks.early_stopping = dict(type='EarlyStoppingHook', monitor='x')
    cfg.default_hooks.ema = dict(type='mmpretrain.EMAHook', begin_epoch=2)
    cfg.default_hooks.timer = dict(type='IterTimerHook')
    cfg.default_hooks.visualization = None
    assert sum(text.startswith('EarlyStoppingHook') for text in left_out(cfg)) == 3
    hooks = apply_changes(cfg, length_changes(cfg, 20, per_epoch=10), ()).default_hooks
    assert hooks.early_stopping is None
    assert hooks.visualization is None
    assert hooks.ema == dict(type='mmpretrain.EMAHook', begin_iter=10)
    assert hooks.timer == dict(type='IterTimerHook')


def config(**settings):
    return Config(
        dict(
            train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=1),
            param_scheduler=[
                dict(type='CosineAnnealingLR', T_max=4, by_epoch=True),
                dict(type='ReduceOnPlateauLR', monitor='loss'),
            ],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='accuracy/top1')),
            custom_hooks=[
                dict(type='EMAHook'),
                dict(type='EarlyStoppingHook', monitor='x'),
                dict(type='mmengine.EarlyStoppingHook', monitor='x'),
            ],
            **settings,
        )
    )


def test_what_is_left_out_is_told():
    schedule = [dict(action_epoch=1), dict(action_epoch=37), dict(action_epoch=112)]
    cfg = config(resume=True, load_from='work_dirs/old/iter_50.pth')
    cfg.custom_hooks.append(dict(type='SwitchRecipeHook', schedule=schedule))
    early, *_ = told = left_out(cfg)
    assert early == "resume (load_from='work_dirs/old/iter_50.pth'), every training starts anew"
    assert told[-1] == 'SwitchRecipeHook from epoch 37, 112 on, iterations are counted'
    assert [text.split(',')[0] for text in told[1:-1]] == ['EarlyStoppingHook'] * 2
    assert left_out(Config()) == []


def test_length_of_a_config_by_epochs():
    cfg = config()
    changed = apply_changes(cfg, length_changes(cfg, 20, per_epoch=10), ())
    assert changed.train_cfg == dict(type='IterBasedTrainLoop', max_iters=20, val_interval=3)
    assert changed.param_scheduler == [dict(type='CosineAnnealingLR', T_max=20, by_epoch=False)]
    assert changed.default_hooks.checkpoint == dict(
        type='CheckpointHook', by_epoch=False, interval=20
    )
    assert changed.default_hooks.logger.log_metric_by_epoch is False
    assert changed.custom_hooks == [dict(type='EMAHook')]
    assert changed.log_processor == dict(type='LogProcessor', by_epoch=False, window_size=1)
    assert cfg.train_cfg.max_epochs == 4


def test_number_of_validations():
    cfg = config()
    (loop,) = (
        change.settings
        for change in length_changes(cfg, 20, per_epoch=10, validations=1)
        if change.root == 'train_cfg'
    )
    assert (loop['max_iters'], loop['val_interval']) == (20, 20)


def test_own_length():
    assert config_iters(Config(dict(train_cfg=dict(max_iters=7)))) == 7
    with pytest.raises(ValueError, match=r'train_cfg: expected max_iters or max_epochs.*--iters'):
        config_iters(Config(dict(train_cfg=dict(type='X'))))
