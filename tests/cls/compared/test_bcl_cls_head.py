"""Values and limits of the loss are in tests/core/compared/test_bcl.py; here head and ranks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import (
    COUNTS,
    contrast_of_part,
    samples,
    three_view_features,
    three_view_head,
)
from mmpretrain.registry import MODELS
from torch.testing import assert_close

import paco_seg.cls  # noqa: F401
from paco_seg.core.compared import balanced_softmax_loss, bcl_loss

LABELS = [0, 1, 1, 3]


def build(**settings):
    return three_view_head('BCL', **settings)


def test_bcl_on_two_ranks_is_that_of_the_joined_batch(two_ranks):
    joined = contrast_of_part('BCL')
    ranks = [results['BCL'] for results in two_ranks]
    assert_close(sum(rank['loss'] for rank in ranks) / 2, joined['loss'])
    # data-parallel training averages the gradients of the ranks; the rows of the classifier get
    # theirs through the prototypes
    assert joined['gradients']['fc.weight'].any()
    for name, gradient in joined['gradients'].items():
        assert_close(sum(rank['gradients'][name] for rank in ranks) / 2, gradient, msg=name)
    assert two_ranks[0]['BCL alone']['loss'] != ranks[0]['loss']


def test_bcl_classifies_the_first_view_and_contrasts_the_others():
    head = build(loss=dict(class_prior=COUNTS, loss_weight=2.0), cal_acc=True)
    rows, labels = three_view_features(), torch.tensor(LABELS)
    losses = head.loss((rows.reshape(-1, 6),), samples(LABELS), num_views=3)
    assert sorted(losses) == ['accuracy_top-1', 'loss_ce', 'loss_contrast']
    classify = balanced_softmax_loss(head.fc(rows[0]), labels, torch.tensor(COUNTS))
    assert_close(losses['loss_ce'], 2 * classify.mean())
    embeddings = F.normalize(head.projector(rows[1:].reshape(-1, 6)))
    prototypes = F.normalize(head.prototype_projector(head.fc.weight))
    contrast = bcl_loss(embeddings, labels.repeat(2), prototypes, temperature=0.3)
    assert_close(losses['loss_contrast'], 0.35 * contrast.mean())
    with pytest.raises(ValueError, match=r'num_views: expected a view for the classifier .* got 1'):
        head.loss((rows[0],), samples(LABELS))


def test_bcl_prediction_is_that_of_the_stock_head_or_of_a_cosine_classifier():
    head, rows = build(), three_view_features()[0]
    stock = MODELS.build(dict(type='LinearClsHead', num_classes=5, in_channels=6)).double()
    assert not stock.load_state_dict(head.state_dict(), strict=False).missing_keys
    assert torch.equal(stock((rows,)), head((rows,)))
    cosine = build(scale=30.0)
    assert cosine.fc.bias is None
    expected = 30 * F.normalize(rows) @ F.normalize(cosine.fc.weight).T
    assert_close(cosine((rows,)), expected)
    assert_close(cosine.fc.weight.norm(dim=1), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(loss_contrast=dict(temperature=0)), r'^BCLLoss\.temperature: expected > 0'),
        (dict(loss_contrast=dict(loss_weight=-1)), r'^BCLLoss\.loss_weight: expected >= 0'),
        (dict(loss_contrast=dict(gather=1)), r'^BCLLoss\.gather: expected True or False, got 1'),
        (dict(scale=0), r'^model\.head\.scale: expected > 0'),
        (dict(loss=dict(class_prior=[1, 2])), r'class_prior: expected 5 values'),
    ],
)
def test_bcl_settings_out_of_range(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build(**settings)
