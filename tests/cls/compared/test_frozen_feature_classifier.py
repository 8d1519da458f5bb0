from __future__ import annotations

import torch
from helpers.contrastive import samples, views
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS


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
