"""Schedules in iterations: the same curve over another length."""

import pytest
from mmengine.config import Config

from paco_seg.comparison.budget import config_iters, length_changes, scaled_scheduler
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
