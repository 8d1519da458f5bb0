from __future__ import annotations

import math

import pytest
import torch
from helpers.contrastive import samples, views
from mmpretrain.registry import MODELS
from references.supcon import supcon
from torch.testing import assert_close

LABELS = [0, 1, 1, 3]


def build(**settings):
    torch.manual_seed(0)
    settings = dict(in_channels=6, projector=dict(out_channels=4)) | settings
    return MODELS.build(dict(type='SupConPretrainHead', **settings))


def test_supcon_of_all_views_is_the_reference():
    head = build(loss=dict(temperature=0.3)).double()
    features = torch.randn(8, 6, dtype=torch.float64)
    embeddings = head((features,))
    assert_close(embeddings.norm(dim=1), torch.ones(8, dtype=torch.float64))
    expected = supcon(embeddings.tolist(), LABELS * 2, 0.3)
    loss = head.loss((features,), samples(LABELS * 2))['loss']
    assert loss.item() == pytest.approx(sum(expected) / len(expected))


def test_supcon_checks_of_identical_embeddings_and_missing_positives():
    head = build()
    same = torch.ones(8, 6)
    loss = head.loss((same,), samples([2] * 8))['loss']
    assert loss.item() == pytest.approx(math.log(7), rel=1e-5)
    features = torch.randn(4, 6, requires_grad=True)
    alone = head.loss((features,), samples([0, 1, 2, 3]))['loss']  # one view, unique labels
    assert alone.item() == 0
    alone.backward()
    assert not features.grad.any()


def test_supcon_trains_on_the_views_of_a_classifier():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='GPaCoClassifier',
            joint_pass=True,
            backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='SupConPretrainHead', in_channels=16),
        )
    )
    both = views(LABELS)
    loss = model.loss(both, samples(LABELS))['loss']
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    embeddings = model.head(model.extract_feat(torch.cat(both)))
    expected = supcon(embeddings.tolist(), LABELS * 2, 0.1)
    assert loss.item() == pytest.approx(sum(expected) / 8, rel=1e-4)
    with pytest.raises(RuntimeError, match='a head with a classifier for evaluation'):
        model.predict(both[0])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(loss=dict(temperature=0)), r'SupConLoss\.temperature: expected > 0'),
        (dict(projector=dict(num_layers=0)), r'num_layers: expected >= 1'),
    ],
)
def test_supcon_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
