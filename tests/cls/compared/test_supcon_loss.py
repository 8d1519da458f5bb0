"""The values are those of tests/core/compared/test_supcon.py; here the settings and the ranks."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers.ranks import run_ranks
from mmpretrain.registry import MODELS
from torch.testing import assert_close

import paco_seg.cls  # noqa: F401
from paco_seg.core.compared import supcon_loss

LABELS = torch.tensor([0, 1, 1, 3, 0, 1, 1, 3])


def build(**settings):
    return MODELS.build(dict(type='SupConLoss', **settings))


def rows():
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(8, 4, generator=generator, dtype=torch.float64))


def work_on_rank():
    """Losses and gradients of this rank's half of the rows."""
    half = slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4)
    results = {}
    for gather in (True, False):
        leaf = rows()[half].requires_grad_()
        loss = build(temperature=0.2, gather=gather)(leaf, LABELS[half])
        loss.backward()
        results[gather] = (loss.item(), leaf.grad)
    return results


def test_supcon_on_two_ranks_is_that_of_the_joined_batch():
    leaf = rows().requires_grad_()
    loss = build(temperature=0.2)(leaf, LABELS)
    loss.backward()
    ranks = run_ranks(work_on_rank)
    assert_close(sum(r[True][0] for r in ranks) / 2, loss.item())
    # data-parallel training averages the gradients of the ranks
    assert_close(torch.cat([r[True][1] for r in ranks]) / 2, leaf.grad)
    for index, result in enumerate(ranks):
        half = slice(4 * index, 4 * index + 4)
        alone = supcon_loss(rows()[half], LABELS[half], temperature=0.2).mean()
        assert_close(result[False][0], alone.item())
    assert ranks[0][False][0] != ranks[0][True][0]


def test_supcon_settings():
    value = build(temperature=0.2)(rows(), LABELS)
    assert_close(value, supcon_loss(rows(), LABELS, temperature=0.2).mean())
    assert_close(build(temperature=0.2, base_temperature=0.1)(rows(), LABELS), 2 * value)
    assert_close(build(temperature=0.2, loss_weight=0.5)(rows(), LABELS), 0.5 * value)
    assert_close(build(temperature=0.2, impl='streaming')(rows(), LABELS), value)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(temperature=0), r'temperature: expected > 0'),
        (dict(base_temperature=-1), r'base_temperature: expected > 0'),
        (dict(loss_weight=-1), r'loss_weight: expected >= 0'),
        (dict(impl='fast'), r"impl: expected one of 'auto'"),
    ],
)
def test_supcon_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=r'^SupConLoss\.' + message):
        build(**settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(temperature=float('inf')), r'temperature: expected > 0 and finite, got inf'),
        (dict(loss_weight=float('inf')), r'loss_weight: expected >= 0 and finite, got inf'),
        (dict(gather='no'), r"gather: expected True or False, got 'no'"),
    ],
)
def test_supcon_settings_of_another_kind(settings, message):
    with pytest.raises((TypeError, ValueError), match=r'^SupConLoss\.' + message):
        build(**settings)
