"""Values and limits of the loss are in tests/core/compared/test_proco.py; here head and ranks."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers.contrastive import COUNTS, samples
from helpers.ranks import run_ranks
from mmpretrain.registry import MODELS
from torch.testing import assert_close

import paco_seg.cls  # noqa: F401
from paco_seg.core.compared import VMFMoments, balanced_softmax_loss, vmf_logits

LABELS = [0, 1, 1, 3]


def build(**settings):
    torch.manual_seed(0)
    defaults = dict(
        num_classes=5,
        in_channels=6,
        # without statistics of a batch, which differ from rank to rank
        projector=dict(out_channels=4, norm=None),
        loss=dict(class_prior=COUNTS),
        loss_contrast=dict(temperature=0.3, class_prior=COUNTS),
    )
    head = MODELS.build(dict(type='ProCoClsHead', **defaults | settings)).double()
    head.contrast_module.set_progress(0, 2)
    return head


def features(views=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(views, 4, 6, generator=generator, dtype=torch.float64)


def two_steps(head, part=slice(None)):
    """Two epochs of one step on a part of the images; the second step has a gradient."""
    for epoch in range(2):
        head.contrast_module.set_progress(epoch, 2)
        rows = features(seed=epoch)[:, part].reshape(-1, 6)
        loss = head.loss((rows,), samples(LABELS[part]), num_views=3)['loss_contrast']
    loss.backward()
    return loss.item(), head.projector[0].weight.grad, head.contrast_module.moments.state_dict()


def work_on_rank():
    return two_steps(build(), slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2))


def test_proco_on_two_ranks_is_that_of_the_joined_batch():
    loss, gradient, state = two_steps(build())
    ranks = run_ranks(work_on_rank)
    for _, _, theirs in ranks:  # moments are equal on all ranks
        for key, value in state.items():
            assert_close(theirs[key], value)
    assert_close((ranks[0][0] + ranks[1][0]) / 2, loss)
    # data-parallel training averages the gradients of the ranks
    assert_close((ranks[0][1] + ranks[1][1]) / 2, gradient)


def test_proco_classifies_the_first_view_and_contrasts_the_others():
    head = build()
    rows, labels = features(), torch.tensor(LABELS)
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
    head, rows = build(), features()
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
        head.loss((features().reshape(-1, 6),), samples(LABELS), num_views=3)
    for settings, message in (
        (dict(loss_contrast=dict(temperature=0)), r'^ProCoLoss\.temperature: expected > 0'),
        (dict(loss_contrast=dict(loss_weight=-1)), r'^ProCoLoss\.loss_weight: expected >= 0'),
        (dict(loss_contrast=dict(class_prior=[1.0])), r'^ProCoLoss\.class_prior: expected 5 val'),
        (dict(projector=dict(out_channels=1)), r'^ProCoLoss\.channels: expected >= 2'),
    ):
        with pytest.raises(ValueError, match=message):
            build(**settings)
