"""Values and limits of the loss are in tests/core/compared/test_proco.py; here head and ranks."""

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
from paco_seg.core.compared import VMFMoments, balanced_softmax_loss, vmf_logits

LABELS = [0, 1, 1, 3]


def build(**settings):
    return three_view_head('ProCo', **settings)


def test_proco_on_two_ranks_is_that_of_the_joined_batch(two_ranks):
    joined = contrast_of_part('ProCo')
    ranks = [results['ProCo'] for results in two_ranks]
    for rank in ranks:  # moments are equal on all ranks
        for key, value in joined['buffers'].items():
            assert_close(rank['buffers'][key], value, msg=key)
    assert_close(sum(rank['loss'] for rank in ranks) / 2, joined['loss'])
    # data-parallel training averages the gradients of the ranks
    for name, gradient in joined['gradients'].items():
        assert_close(sum(rank['gradients'][name] for rank in ranks) / 2, gradient, msg=name)


def test_proco_classifies_the_first_view_and_contrasts_the_others():
    head = build()
    rows, labels = three_view_features(), torch.tensor(LABELS)
    torch.manual_seed(0)
    known = VMFMoments(5, 4).double()
    known.means.copy_(head.contrast_module.moments.means)
    losses = head.loss((rows.reshape(-1, 6),), samples(LABELS), num_views=3)
    prior = torch.tensor(COUNTS)
    classify = balanced_softmax_loss(head.fc(rows[0]), labels, prior)
    assert_close(losses['loss_ce'], classify.mean())
    embeddings = F.normalize(head.projector(rows[1:].reshape(-1, 6)))
    known.update(embeddings, labels.repeat(2))
    logits = vmf_logits(embeddings, *known.distributions(), temperature=0.3)
    contrast = [
        balanced_softmax_loss(view, labels, prior).mean() for view in logits.split(len(labels))
    ]
    assert_close(losses['loss_contrast'], sum(contrast) / 2)


def test_proco_prediction_is_that_of_the_stock_head_and_validation_leaves_no_trace():
    head, rows = build(), three_view_features()
    stock = MODELS.build(dict(type='LinearClsHead', num_classes=5, in_channels=6)).double()
    assert not stock.load_state_dict(head.state_dict(), strict=False).missing_keys
    assert torch.equal(stock((rows[0],)), head((rows[0],)))
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head.eval().loss((rows.reshape(-1, 6),), samples(LABELS), num_views=3)
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


def test_proco_wants_its_hook_and_settings_in_range():
    head = build()
    head.contrast_module._knows_epoch = False
    with pytest.raises(ValueError, match=r'^ProCoLoss: expected to be told .*TrainingProgressHo'):
        head.loss((three_view_features().reshape(-1, 6),), samples(LABELS), num_views=3)
    for settings, message in (
        (dict(loss_contrast=dict(temperature=0)), r'^ProCoLoss\.temperature: expected > 0'),
        (dict(loss_contrast=dict(loss_weight=-1)), r'^ProCoLoss\.loss_weight: expected >= 0'),
        (dict(loss_contrast=dict(class_prior=[1.0])), r'^ProCoLoss\.class_prior: expected 5 val'),
        (dict(projector=dict(out_channels=1)), r'^ProCoLoss\.channels: expected >= 2'),
    ):
        with pytest.raises(ValueError, match=message):
            build(**settings)
