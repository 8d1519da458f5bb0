"""What systems refuse, with the reason, and what they make of unusual configs."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config

from paco_seg import compat
from paco_seg.cls.systems import SYSTEMS
from paco_seg.core.frequency import ClassFrequency
from paco_seg.engine.model_changes import read_config
from paco_seg.engine.systems import SystemInputs

compat.setup()
RESNET = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'
SWIN = 'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py'
# Those that only need a head of one class per image, whatever its layers.
ANY_HEAD = ('ce', 'class-weighted-ce', 'focal', 'class-aware-sampling', 'balanced-softmax')
COUNTS = tuple(range(1000, 0, -1))
INPUTS = SystemInputs('frequency.json', ClassFrequency(None, COUNTS, None, sum(COUNTS)))


def config(source: str = RESNET, **changes: object) -> Config:
    """Read a stock config and change keys of it, as ``--cfg-options`` does (``__`` is a dot)."""
    cfg = read_config(source)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg


@pytest.mark.parametrize('name', list(SYSTEMS))
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(model__type='TimmClassifier'),
            r"^model\.type: expected 'ImageClassifier', got 'Timm",
        ),
        (
            dict(model__head__type='MultiLabelLinearClsHead'),
            r"^model\.head\.type: expected a head of one class per image, got 'MultiLabelLinear",
        ),
        (
            dict(model__head=dict(_delete_=True, type='MAEPretrainHead')),
            r"^model\.head\.type: expected a head of one class per image, got 'MAEPretrainHead'",
        ),
        (dict(model__head=None), r'^model\.head\.type: expected a head of one class .* got None'),
        (
            dict(model__head__type='GPaCoClsHead'),
            r"^model\.head\.type: expected a stock head, got 'GPaCoClsHead'\. The config is a sys",
        ),
    ],
)
def test_no_system_serves_another_classifier(name, changes, message):
    with pytest.raises(ValueError, match=message):
        SYSTEMS[name].changes(config(**changes), None, INPUTS)


@pytest.mark.parametrize('name', list(SYSTEMS))
def test_a_head_of_several_layers_is_served_by_what_only_changes_loss_or_sampler(name):
    layers = config('mmpretrain::vision_transformer/vit-base-p16_64xb64_in1k.py')
    other = config(model__head__type='StackedLinearClsHead', model__head__mid_channels=[64])
    if name in ANY_HEAD:
        for cfg in (layers, other):
            SYSTEMS[name].changes(cfg, None, INPUTS)
        return
    with pytest.raises(ValueError, match=r'^model\.head\.hidden_dim: expected None, .* got 3072'):
        SYSTEMS[name].changes(layers, None, INPUTS)
    with pytest.raises(ValueError, match=r"^model\.head\.type: expected a linear head .* 'Stacked"):
        SYSTEMS[name].changes(other, None, INPUTS)


def test_cross_entropy_of_the_config_stays_and_another_loss_makes_way():
    assert SYSTEMS['ce'].changes(config(SWIN)) == []
    focal = config(model__head__loss=dict(_delete_=True, type='FocalLoss', gamma=1.0))
    assert SYSTEMS['ce'].apply(focal).model.head.loss == dict(type='CrossEntropyLoss')
    weighted = config(model__head__loss__class_weight=[1.0] * 1000)
    expected = dict(type='CrossEntropyLoss', loss_weight=1.0)
    assert SYSTEMS['ce'].apply(weighted).model.head.loss == expected


def test_class_weights_keep_label_smoothing_and_turn_sigmoids_into_a_softmax():
    cfg = config(SWIN, model__head__loss__use_sigmoid=True)
    loss = SYSTEMS['class-weighted-ce'].apply(cfg, dict(weights='inverse'), INPUTS).model.head.loss
    weights = loss.pop('class_weight')
    assert loss == dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
    assert weights == pytest.approx([sum(COUNTS) / 1000 / count for count in COUNTS], rel=1e-5)


def test_class_weights_want_the_frequencies_of_these_classes(tmp_path):
    system = SYSTEMS['class-weighted-ce']
    with pytest.raises(
        ValueError, match=r'class-weighted-ce\.frequency_file: expected the class fr'
    ):
        system.changes(config())
    path = tmp_path / 'frequency.json'
    path.write_text(json.dumps([3, 4]))
    with pytest.raises(ValueError, match=r'^class-weighted-ce\.frequency_file: expected 1000 cla'):
        system.changes(config(), None, SystemInputs(str(path)))
    for settings, message in (
        (dict(weights='sqrt'), r"^class-weighted-ce\.weights: expected one of .* got 'sqrt'"),
        (dict(beta=1.0), r'^class-weighted-ce\.beta: expected a value in'),
        (dict(gamma=1.0), r'^class-weighted-ce\.gamma: expected a setting of'),
    ):
        with pytest.raises(ValueError, match=message):
            system.changes(config(), settings, INPUTS)


@pytest.mark.parametrize(
    ('wrapped', 'message'),
    [
        (lambda d: dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=d), r'\.type'),
        (
            lambda d: dict(
                type='ConcatDataset', datasets=[d, dict(type='RepeatDataset', times=3, dataset=d)]
            ),
            '',
        ),
        (lambda d: dict(type='RepeatDataset', times=3, dataset=d), None),
    ],
)
def test_weights_are_of_the_images_that_are_delivered(wrapped, message):
    cfg = read_config('mmpretrain::resnet/resnet50_8xb32_in1k.py')
    cfg.train_dataloader.dataset = wrapped(cfg.train_dataloader.dataset)
    system = SYSTEMS['class-weighted-ce']
    if message is None:
        system.apply(cfg, {}, INPUTS)
        return
    message = rf'^train_dataloader\.dataset{message}: expected every image as often as any other'
    with pytest.raises(ValueError, match=message):
        system.apply(cfg, {}, INPUTS)


def test_mixed_images_are_off_wherever_they_are_configured():
    preprocessor = dict(to_onehot=True, batch_augments=dict(augments=[dict(type='Mixup')]))
    for key in ('data_preprocessor', 'model__data_preprocessor'):
        cfg = config(SWIN, **{key: dict(preprocessor)})
        changed = SYSTEMS['balanced-softmax'].apply(cfg)
        part = changed.model if key.startswith('model') else changed
        assert changed.model.train_cfg is None
        assert part.data_preprocessor.batch_augments is None
        assert part.data_preprocessor.to_onehot is False


@pytest.mark.parametrize(
    ('step', 'refused'),
    [
        (dict(loss=dict(type='CrossEntropyLoss')), ('focal', 'balanced-softmax', 'gpaco', 'reslt')),
        (dict(train_pipeline=[dict(type='PackInputs')]), ('gpaco', 'paco', 'hybrid-sc')),
        (dict(batch_augments=dict(augments=dict(type='Mixup'))), ('gpaco', 'ldam-drw')),
        (dict(batch_augments=None), ()),
    ],
)
def test_a_recipe_that_undoes_a_system_is_refused(step, refused):
    hook = dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=7, **step)])
    cfg = config(custom_hooks=[dict(type='EMAHook'), hook])
    for name in refused:
        with pytest.raises(ValueError, match=r'^custom_hooks\[1\]: .*from epoch 7 on'):
            SYSTEMS[name].changes(cfg, None, INPUTS)
    for name in {'ce', 'class-aware-sampling', 'crt', 'log-prior-test'} | (
        set() if refused else {'gpaco', 'ldam-drw'}
    ):
        SYSTEMS[name].changes(cfg, None, INPUTS)


@pytest.mark.parametrize('name', ['class-aware-sampling', 'crt', 'lws'])
def test_a_loader_of_whole_batches_is_refused(name):
    cfg = config(train_dataloader__batch_sampler=dict(type='Any'))
    with pytest.raises(ValueError, match=r'^train_dataloader\.batch_sampler: .* sampler of images'):
        SYSTEMS[name].changes(cfg)


def test_a_sampler_may_be_none_before():
    cfg = config(train_dataloader__sampler=None)
    found = SYSTEMS['class-aware-sampling'].apply(cfg, {}, INPUTS)
    assert found.train_dataloader.sampler.type == 'ClassAwareSampler'


def test_a_preprocessor_of_another_kind_is_refused_where_it_has_to_change():
    cfg = config(data_preprocessor__type='VideoDataPreprocessor')
    SYSTEMS['balanced-softmax'].changes(cfg)
    with pytest.raises(ValueError, match=r"^data_preprocessor\.type: .* got 'VideoDataPreproc"):
        SYSTEMS['gpaco'].changes(cfg)


def test_a_queue_holds_the_images_of_a_step():
    assert 'queue_size' not in SYSTEMS['gpaco'].apply(config()).model.head
    large = config(auto_scale_lr__base_batch_size=16384)
    assert SYSTEMS['gpaco'].apply(large).model.head.queue_size == 16384
    given = SYSTEMS['paco'].apply(large, dict(queue_size=20000, momentum=0.9)).model
    assert (given.head.queue_size, given.momentum) == (20000, 0.9)


def test_reslt_pools_itself_where_it_gets_a_map():
    pooled = SYSTEMS['reslt'].apply(config('mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py'))
    assert pooled.model.head.pool_first
    own = SYSTEMS['reslt'].apply(config()).model
    assert own.neck is None
    assert 'pool_first' not in own.head
    assert own.head.loss.groups == [650, 300]
    other = config('mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py')
    changed = SYSTEMS['reslt'].apply(other, dict(groups=(3, 1))).model
    assert changed.neck == other.model.neck
    assert changed.head.pool_first
    assert tuple(changed.head.loss.groups) == (3, 1)


def test_weights_that_are_not_there_yet_start_no_training():
    assert SYSTEMS['crt'].apply(config()).model.stage_one == 'WEIGHTS-OF-ce.pth'
    assert SYSTEMS['lws'].apply(config()).load_from == 'WEIGHTS-OF-ce.pth'


@pytest.mark.parametrize(
    ('optimizer', 'settings', 'factor'),
    [
        ('SGD', {}, None),
        ('AdamW', {}, 10.0),
        ('AdamW', dict(lr_mult=3.0), 3.0),
        ('AdamW', dict(lr_mult=1.0), None),
    ],
)
def test_scales_of_lws_have_a_rate_of_their_own_under_adam(optimizer, settings, factor):
    cfg = config(optim_wrapper__optimizer__type=optimizer)
    wrapper = SYSTEMS['lws'].apply(cfg, settings).optim_wrapper
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    assert (keys.get('scales') or {}).get('lr_mult') == factor
    assert (keys.get('scales') or {}).get('decay_mult') == (factor and 0.0)


def test_scales_of_lws_under_layer_decay():
    """Its constructor knows no factors of single parameters."""
    cfg = config(
        optim_wrapper__optimizer__type='AdamW',
        optim_wrapper__optimizer__lr=2e-4,
        optim_wrapper__constructor='LearningRateDecayOptimWrapperConstructor',
    )
    wrapper = SYSTEMS['lws'].apply(cfg).optim_wrapper
    assert wrapper.optimizer.lr == 2e-3
    assert 'custom_keys' not in (wrapper.get('paramwise_cfg') or {})


def test_other_weights_are_not_loaded_over_those_of_stage_one():
    inputs = SystemInputs(weights='ce.pth')
    for name, source in (('crt', RESNET), ('lift', DEIT)):
        changed = SYSTEMS[name].apply(config(source, load_from='other.pth'), None, inputs)
        assert (changed.load_from, changed.model.stage_one) == (None, 'ce.pth')
    assert SYSTEMS['lift'].apply(config(DEIT, load_from='vit.pth')).load_from == 'vit.pth'


def test_no_random_start_of_the_whole_model_reaches_the_adapters_of_lift():
    inputs = SystemInputs(weights='vit.pth')
    assert config(DEIT).model.init_cfg
    model = SYSTEMS['lift'].apply(config(DEIT), None, inputs).model
    assert model.init_cfg is None
    whole = dict(type='Pretrained', checkpoint='a.pth')
    mixed = config(DEIT, model__init_cfg=[dict(type='TruncNormal', layer='Linear'), whole])
    assert SYSTEMS['lift'].apply(mixed, None, inputs).model.init_cfg == [whole]


DEIT = 'mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py'


def test_lift_wants_a_vision_transformer_with_weights():
    lift = SYSTEMS['lift']
    for source, found in ((RESNET, 'ResNet'), (SWIN, 'SwinTransformer')):
        with pytest.raises(ValueError, match=rf"^model\.backbone\.type: .* got '{found}'\. The ad"):
            lift.changes(config(source))
    weights = SystemInputs(weights='vit.pth')
    for kind in ('VisionTransformer', 'BEiTViT', 'mmpretrain.ViTEVA02'):
        changed = lift.apply(config(DEIT, model__backbone__type=kind), None, weights)
        assert changed.model.stage_one == 'vit.pth'
    with pytest.raises(ValueError, match=r'^lift\.weights: .*has no pretrained weights, got None'):
        lift.changes(config(DEIT))
    given = lift.apply(config(DEIT), dict(weights='b.pth', adapter_width=2), weights).model
    assert (given.stage_one, given.adapter_width) == ('b.pth', 2)
    pretrained = dict(type='Pretrained', checkpoint='vit.pth', prefix='backbone')
    own = lift.apply(config(DEIT, model__backbone__init_cfg=pretrained)).model
    assert 'stage_one' not in own
    assert own.backbone.init_cfg == pretrained
