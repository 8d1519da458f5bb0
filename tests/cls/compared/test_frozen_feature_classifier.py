from __future__ import annotations

import pytest
import torch
from helpers.contrastive import samples, views
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS


def build(**settings):
    model = dict(
        backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=16),
    )
    return MODELS.build(dict(model, **{'type': 'FrozenFeatureClassifier', **settings}))


@pytest.fixture
def stage_one(tmp_path):
    """A checkpoint of a classifier with a neck of its own, and its entries."""
    torch.manual_seed(1)
    state = build(type='ImageClassifier', neck=dict(type='ClsBatchNormNeck', input_features=16))
    path = tmp_path / 'stage_one.pth'
    state = {
        key: torch.rand_like(value) if value.is_floating_point() else value + 3
        for key, value in state.state_dict().items()
    }
    torch.save(dict(state_dict=state, meta={}), path)
    return path, state


def test_stage_one_gives_backbone_and_neck_but_no_classifier(stage_one, tmp_path):
    path, state = stage_one
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'not there.pth'))
    model = build(
        backbone=dict(type='CIFARResNet', depth=8, base_channels=4, init_cfg=pretrained),
        neck=dict(type='ClsBatchNormNeck', input_features=16),
        stage_one=str(path),
    )
    model.init_weights()
    for key, value in model.state_dict().items():
        assert key.startswith('head.') != torch.equal(value, state[key]), key


def test_stage_one_of_another_model_is_refused(stage_one, tmp_path):
    path, _ = stage_one
    with pytest.raises(ValueError, match=r'^model\.stage_one: .* got one without backbone'):
        build(
            backbone=dict(type='CIFARResNet', depth=14, base_channels=4), stage_one=str(path)
        ).init_weights()
    with pytest.raises(ValueError, match=r'^model\.stage_one: .* got size mismatch for backbone'):
        build(
            backbone=dict(type='CIFARResNet', depth=8, base_channels=8), stage_one=str(path)
        ).init_weights()
    with pytest.raises(FileNotFoundError, match=r"^model\.stage_one: .* got '.*not there"):
        build(stage_one=str(tmp_path / 'not there.pth')).init_weights()
    with pytest.raises(TypeError, match=r'^model\.stage_one: expected the name .* got 1$'):
        build(stage_one=1)


def test_crt_trains_the_head_alone_and_keeps_the_statistics():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='FrozenFeatureClassifier',
            backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=16),
        )
    ).train()
    assert model.training
    assert model.head.training
    assert not any(module.training for module in model.backbone.modules())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1))
    inputs, _ = views()
    loss = model(inputs, samples([0, 1, 1, 3]), mode='loss')['loss']
    wrapper.update_params(loss)
    changed = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert changed == {'head.fc.weight', 'head.fc.bias'}
    # prediction is that of ImageClassifier
    features = model.eval().extract_feat(inputs)
    assert torch.equal(model(inputs), model.head(features))
