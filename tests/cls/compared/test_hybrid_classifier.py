from __future__ import annotations

import pytest
import torch
from helpers.contrastive import batch, views
from mmpretrain.registry import MODELS

LABELS = [0, 1, 1, 3]


def build(num_views=3):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='HybridClassifier',
            backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='HybridClsHead',
                num_classes=5,
                in_channels=16,
                loss_contrast=dict(type='SupConLoss'),
            ),
            data_preprocessor=dict(num_views=num_views),
        )
    )


def hybrid_batch(num_views=3):
    data = batch(LABELS, views=num_views)
    for sample in data['data_samples']:
        sample.set_field(torch.tensor([2]), 'balanced_label')
    return data


def test_hybrid_views_and_balanced_images_pass_the_encoder_together():
    model = build().train()
    model.head.set_progress(10, 20)
    data = model.data_preprocessor(hybrid_batch(), training=True)
    sizes = []
    model.backbone.register_forward_hook(lambda module, args, out: sizes.append(len(args[0])))
    torch.manual_seed(0)
    losses = model(**data, mode='loss')
    assert sizes == [12]
    model.zero_grad()
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert losses['curriculum_weight'].item() == 0.75


def test_hybrid_inference_is_that_of_the_stock_classifier():
    model = build().eval()
    stock = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=16),
        )
    ).eval()
    assert not stock.load_state_dict(model.state_dict(), strict=False).missing_keys
    inputs, _ = views()
    assert torch.equal(model(inputs), stock(inputs))


def test_hybrid_batch_of_another_number_of_views_is_refused():
    with pytest.raises(ValueError, match=r'num_views: expected 3 views.*got 2'):
        build().data_preprocessor(hybrid_batch(2), training=True)
