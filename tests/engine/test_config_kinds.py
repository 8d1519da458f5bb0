import pytest
from mmengine.config import Config

from paco_seg.engine.config_kinds import check_kinds
from paco_seg.engine.model_changes import read_config

COMPLETE = dict(
    model=dict(backbone=dict(type='A'), neck=None, decode_head=[dict(type='B'), dict(type='C')]),
    train_cfg=dict(by_epoch=False),
    val_cfg=None,
    optim_wrapper=dict(optimizer=dict(lr=1.0)),
    default_hooks=dict(checkpoint=dict(interval=1), timer=None),
    custom_hooks=[dict(type='EMAHook')],
    param_scheduler=[dict(type='PolyLR')],
    val_evaluator=dict(type='IoUMetric'),
)


def test_complete_and_empty_configs_pass():
    check_kinds(Config(COMPLETE), 'a.py')
    check_kinds(Config(dict(default_hooks=None, custom_hooks=None)), 'a.py')


def test_a_sequence_of_parts_passes():
    cfg = read_config('mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py')
    assert isinstance(cfg.model.neck, list)
    check_kinds(cfg, 'hrnet')


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (
            dict(train_cfg=5),
            r'^a\.py: train_cfg: expected a dict, got 5\. Set keys in it: train_cfg\.',
        ),
        (dict(model='ResNet'), r"model: expected a dict, got 'ResNet'"),
        (dict(data_preprocessor=5), r'data_preprocessor: expected a dict, got 5'),
        (dict(model=dict(backbone=['A'])), r"model\.backbone\[0\]: expected a dict, got 'A'"),
        (dict(default_hooks=dict(checkpoint=2)), r'default_hooks\.checkpoint: expected a dict'),
        (dict(custom_hooks=dict(type='EMAHook')), r'custom_hooks: expected a list of dicts, got'),
        (dict(custom_hooks=['EMAHook']), r"custom_hooks\[0\]: .*'EMAHook'\. Write dict\(type"),
        (dict(custom_hooks=[None]), r'custom_hooks\[0\]: expected a dict, got None'),
        (dict(param_scheduler='PolyLR'), r'param_scheduler: expected a dict, or a list of dicts'),
        (dict(model=dict(decode_head=[3])), r'model\.decode_head\[0\]: expected a dict, got 3'),
        (dict(env_cfg=None), r'^a\.py: env_cfg: expected a dict, got None\. Leave it out'),
        (dict(optim_wrapper=dict(optimizer='S' * 99)), r'optim_wrapper\.optimizer: .*got a str\.'),
    ],
)
def test_a_value_of_another_kind_is_named(change, named):
    with pytest.raises(ValueError, match=named):
        check_kinds(Config({**COMPLETE, **change}), 'a.py')
