from __future__ import annotations

import math

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

import paco_seg.cls  # noqa: F401

pytestmark = pytest.mark.crt


def rates(epochs, resume_at=None, lr=0.2, **settings):
    """Rate of every epoch, with a resumed training from ``resume_at`` on."""

    def build():
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
        settings_ = dict(type='OneBasedCosineLR', T_max=epochs, by_epoch=True, **settings)
        return optimizer, PARAM_SCHEDULERS.build(settings_, default_args=dict(optimizer=optimizer))

    optimizer, scheduler = build()
    found = []
    for epoch in range(epochs):
        if epoch == resume_at:
            states = optimizer.state_dict(), scheduler.state_dict()
            optimizer, scheduler = build()
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


def released(epochs, lr=0.2, low=0.0):
    """PyTorch's scheduler, stepped before the epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=low)
    found = []
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]['lr'])
    return found


@pytest.mark.parametrize('epochs', [5, 10, 90])
@pytest.mark.parametrize('low', [0.0, 0.01])
def test_equals_a_schedule_stepped_before_the_epoch(epochs, low):
    expected = [
        low + (0.2 - low) * (1 + math.cos(math.pi * e / epochs)) / 2 for e in range(1, epochs + 1)
    ]
    assert released(epochs, low=low) == pytest.approx(expected, abs=1e-12)
    assert rates(epochs, eta_min=low) == pytest.approx(expected, abs=1e-12)


def test_ratio_of_the_minimum_and_resume():
    expected = released(10, low=0.002)
    assert rates(10, eta_min_ratio=0.01) == pytest.approx(expected, abs=1e-12)
    assert rates(10, resume_at=4, eta_min_ratio=0.01) == pytest.approx(expected, abs=1e-12)


def test_a_later_begin_ends_at_the_minimum():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    scheduler = PARAM_SCHEDULERS.build(
        dict(type='OneBasedCosineLR', begin=5, end=20, eta_min=0.01),
        default_args=dict(optimizer=optimizer),
    )
    found = []
    for _ in range(20):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert found[5:] == sorted(found[5:], reverse=True)
    assert found[-1] == pytest.approx(0.01)
