import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import IterBasedTrainLoop

from paco_seg.engine.safeguards import guard_test, guard_training, use_durable_checkpoints


def types(cfg):
    return [hook['type'] for hook in cfg.custom_hooks]


def test_a_training_gets_every_guard_once():
    cfg = Config(dict(custom_hooks=[dict(type='NonFiniteLossHook', patience=3)], resume=True))
    guard_training(cfg)
    assert len(set(types(cfg))) == len(types(cfg)) == 11
    assert cfg.custom_hooks[0] == dict(type='NonFiniteLossHook', patience=3)
    assert dict(type='CheckpointMatchHook', require='all') in cfg.custom_hooks
    again = Config(cfg.to_dict())
    guard_training(again)
    assert again.to_dict() == cfg.to_dict()


def test_checkpoints_are_checked_as_the_command_wants_it():
    """The config that a training leaves in its work directory has the hook of that training."""
    cfg = Config(dict(resume=True))
    guard_training(cfg)
    left = Config(cfg.to_dict())
    guard_test(left)
    assert dict(type='CheckpointMatchHook', require='inference') in left.custom_hooks
    left.resume = False
    guard_training(left)
    (found,) = (hook for hook in left.custom_hooks if hook['type'] == 'CheckpointMatchHook')
    assert found['require'] == 'any'


def test_a_hook_under_its_full_name_is_the_hook():
    name = 'paco_seg.engine.hooks.non_finite_loss_hook.NonFiniteLossHook'
    cfg = Config(dict(custom_hooks=[dict(type=name, patience=200)]))
    guard_training(cfg)
    assert sum('NonFiniteLossHook' in kind for kind in types(cfg)) == 1


def test_a_test_leaves_the_training_set_alone():
    """It may be absent where a model is tested."""
    cfg = Config(dict())
    guard_training(cfg)
    assert 'ClassMemoryHook' in types(cfg)
    guard_test(cfg)
    assert 'ClassMemoryHook' not in types(cfg)


@pytest.mark.parametrize(
    'loop',
    [
        dict(by_epoch=False),
        dict(type='IterBasedTrainLoop'),
        dict(type='mmengine.IterBasedTrainLoop'),
        dict(type=type('OwnLoop', (IterBasedTrainLoop,), {})),
    ],
)
def test_without_a_hook_an_iteration_loop_writes_when_it_validates(loop):
    cfg = Config(dict(train_cfg=dict(loop, max_iters=9, val_interval=3)))
    use_durable_checkpoints(cfg)
    assert cfg.default_hooks.checkpoint == dict(
        type='DurableCheckpointHook', interval=3, by_epoch=False
    )


def test_a_test_gets_those_about_the_checkpoint():
    cfg = Config(dict())
    guard_test(cfg)
    assert types(cfg) == ['SettingsCheckHook', 'CheckpointMatchHook', 'ClassNamesCheckHook']


@pytest.mark.parametrize(
    ('hook', 'stays'),
    [
        (dict(type='EMAHook'), False),
        (dict(type='mmpretrain.EMAHook', evaluate_on_origin=True), False),
        (dict(type=EMAHook), False),
        (dict(type='EMAHook', evaluate_on_ema=False), True),
        (dict(type='mine.EMAHook'), True),
    ],
)
def test_a_test_needs_no_second_average(hook, stays):
    cfg = Config(dict(custom_hooks=[hook]))
    guard_test(cfg)
    assert (hook in cfg.custom_hooks) == stays


def test_the_checkpoint_hook_keeps_its_arguments():
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=7))))
    cfg.custom_hooks = [dict(type='CheckpointHook', save_best='mIoU'), dict(type='EMAHook')]
    use_durable_checkpoints(cfg)
    assert cfg.default_hooks.checkpoint == dict(type='DurableCheckpointHook', interval=7)
    assert cfg.custom_hooks[0] == dict(type='DurableCheckpointHook', save_best='mIoU')
    assert cfg.custom_hooks[1] == dict(type='EMAHook')


def test_no_hook_and_a_hook_of_the_user_stay():
    cfg = Config(dict())
    use_durable_checkpoints(cfg)
    assert cfg.default_hooks.checkpoint == dict(type='DurableCheckpointHook', interval=1)
    for own in (None, dict(type='MyCheckpointHook')):
        cfg = Config(dict(default_hooks=dict(checkpoint=own)))
        use_durable_checkpoints(cfg)
        assert cfg.default_hooks.checkpoint == own
