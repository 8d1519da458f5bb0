from __future__ import annotations

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from paco_seg.cls.classifiers import MomentumEncoder
from paco_seg.cls.classifiers.momentum_encoder import momentum_of


def modules(seed=0):
    torch.manual_seed(seed)
    return {
        'backbone': nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
        'projector': nn.Linear(4, 2),
    }


def test_the_first_update_copies_parameters_and_buffers():
    """So it does not matter what was initialised or loaded after the construction."""
    encoder, source = MomentumEncoder(modules(), 0.9), modules(seed=1)
    source['backbone'][1].running_mean.fill_(3.0)
    encoder.update(source)
    for name, module in source.items():
        for key, value in module.state_dict().items():
            assert torch.equal(encoder.state_dict()[f'{name}.{key}'], value)


def test_later_updates_follow_the_parameters_only():
    source = modules()
    encoder = MomentumEncoder(source, 0.9)
    encoder.update(source)
    expected = source['projector'].weight.detach().clone()
    for _ in range(3):
        with torch.no_grad():
            source['projector'].weight.add_(1.0)
        expected = 0.9 * expected + 0.1 * source['projector'].weight.detach()
        source['backbone'][1].running_mean.add_(1.0)
        encoder.update(source)
    torch.testing.assert_close(encoder.get_submodule('projector').weight.data, expected)
    assert not encoder.get_submodule('backbone')[1].running_mean.any()
    assert int(encoder.updates) == 4


def test_statistics_come_from_its_own_passes():
    encoder = MomentumEncoder(modules(), 0.9).train()
    encoder.get_submodule('backbone')(torch.randn(2, 3, 4, 4) + 5)
    assert encoder.get_submodule('backbone')[1].running_mean.any()


def test_takes_no_gradient_and_leaves_its_source_alone():
    source = modules()
    encoder = MomentumEncoder(source, 0.9)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert all(parameter.requires_grad for parameter in source['projector'].parameters())


def test_resumes():
    source = modules()
    encoder, resumed = MomentumEncoder(source, 0.9), MomentumEncoder(source, 0.9)
    encoder.update(source)
    resumed.load_state_dict(encoder.state_dict())
    for each in (encoder, resumed):
        each.update(modules(seed=1))
    for key, value in encoder.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value)


@pytest.mark.parametrize(
    ('iterations', 'momentum'), [(1, 0.5), (1000, 0.99), (10_000, 0.999), (362_000, 0.999)]
)
def test_ten_time_constants_pass_in_a_training(iterations, momentum):
    assert momentum_of(iterations) == pytest.approx(momentum)
    hub = MessageHub.get_instance(f'momentum-{iterations}')
    source = modules()
    encoder = MomentumEncoder(source, 'auto')
    assert encoder.current_momentum() == 0.999  # no training tells its length
    hub.update_info('max_iters', iterations)
    encoder.update(source)
    with torch.no_grad():
        source['projector'].weight.add_(1.0)
    before = encoder.get_submodule('projector').weight.detach().clone()
    encoder.update(source)
    moved = encoder.get_submodule('projector').weight - before
    torch.testing.assert_close(moved, torch.full_like(moved, 1 - momentum), atol=1e-6, rtol=0)


@pytest.mark.parametrize('momentum', [-0.1, 1.5])
def test_momentum_out_of_range(momentum):
    with pytest.raises(ValueError, match=r'^model\.momentum: expected a value in \[0, 1\]'):
        MomentumEncoder(modules(), momentum)
