import math

import pytest
import torch
from references import ceco as reference
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.compared import center_loss, simplex_etf


@pytest.mark.parametrize(('classes', 'channels'), [(2, 2), (19, 512), (150, 512), (171, 171)])
def test_frame_is_a_simplex(classes, channels):
    frame = simplex_etf(classes, channels, seed=0)
    assert frame.shape == (classes, channels)
    expected = torch.full((classes, classes), -1 / (classes - 1)).double().fill_diagonal_(1.0)
    assert_close(frame @ frame.t(), expected.to(frame), atol=1e-7, rtol=0)
    assert_close(frame.sum(0), torch.zeros(channels).double(), atol=1e-12, rtol=0)
    if classes < 20:
        corners = torch.tensor(reference.simplex_corners(classes), dtype=torch.float64)
        assert_close(frame @ frame.t(), corners @ corners.t())


def test_frame_depends_on_the_seed_alone():
    torch.manual_seed(1)
    first = simplex_etf(5, 8, seed=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(simplex_etf(5, 8, seed=3), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert (simplex_etf(5, 8, seed=4) - first).abs().max() > 0.1


def test_frame_refuses_fewer_channels_than_classes():
    with pytest.raises(ValueError, match=r'channels: expected >= 600, got 512\. A simplex of C'):
        simplex_etf(600, 512, seed=0)
    with pytest.raises(ValueError, match='num_classes'):
        simplex_etf(1, 8, seed=0)


def test_loss_equals_the_reference():
    frame = simplex_etf(4, 6, seed=0)
    centers = torch.randn(1, 4, 6, dtype=torch.float64)
    present = torch.tensor([[True, False, True, True]])
    prior = torch.tensor([0.5, 0.3, 0.15, 0.05]).double()
    expected = reference.center_loss(
        {label: centers[0, label].tolist() for label in (0, 2, 3)},
        frame.tolist(),
        prior.tolist(),
        scale=5.0,
    )
    actual = center_loss(centers, present, frame, prior=prior)
    assert_close(actual.item(), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize('seed', range(3))
def test_centers_on_their_corners_reach_the_floor_for_any_rotation(seed):
    frame = simplex_etf(150, 512, seed=seed)
    present = torch.ones(1, 150, dtype=torch.bool)
    loss = center_loss(7.0 * frame.unsqueeze(0), present, frame, prior=torch.ones(150))
    assert_close(loss.item(), math.log(1 + 149 * math.exp(-5 * 150 / 149)), rtol=1e-6, atol=0)
    assert_close(loss.item(), 0.67845, atol=5e-6, rtol=0)


def test_rotating_centers_and_frame_together_changes_nothing():
    frame = simplex_etf(4, 6, seed=0)
    centers = torch.randn(2, 4, 6, dtype=torch.float64)
    present = torch.tensor([[True, False, True, True], [True, True, False, False]])
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    assert_close(
        center_loss(centers @ rotation, present, frame @ rotation),
        center_loss(centers, present, frame),
    )


def test_length_of_a_center_and_absent_centers_have_no_influence():
    frame = simplex_etf(4, 6, seed=0)
    centers = torch.randn(1, 4, 6, dtype=torch.float64)
    present = torch.tensor([[True, True, False, True]])
    loss = center_loss(centers, present, frame)
    assert_close(center_loss(100 * centers, present, frame), loss)
    centers = centers.clone()
    centers[0, 2] = 0.0
    centers.requires_grad_()
    again = center_loss(centers, present, frame)
    assert_close(again, loss)
    again.backward()
    assert torch.equal(centers.grad[0, 2], torch.zeros(6).double())
    assert torch.isfinite(centers.grad).all()


def test_renaming_classes():
    frame = simplex_etf(4, 6, seed=0)
    centers = torch.randn(1, 4, 6, dtype=torch.float64)
    present = torch.tensor([[True, False, True, True]])
    prior = torch.tensor([0.5, 0.3, 0.15, 0.05]).double()
    order = torch.tensor([2, 0, 3, 1])
    renamed = center_loss(centers[:, order], present[:, order], frame[order], prior=prior[order])
    assert_close(renamed, center_loss(centers, present, frame, prior=prior))


def test_no_class_gives_zero_with_gradient():
    centers = torch.zeros(1, 4, 6, requires_grad=True)
    frame = simplex_etf(4, 6, seed=0)
    loss = center_loss(centers, torch.zeros(1, 4, dtype=torch.bool), frame)
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(centers.grad, torch.zeros_like(centers))


def test_bad_input_is_refused():
    frame = simplex_etf(4, 6, seed=0)
    present = torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match='scale: expected > 0'):
        center_loss(torch.zeros(1, 4, 6), present, frame, scale=0.0)
    with pytest.raises(ValueError, match=r'dropout: expected a value in \[0, 1\), got 1'):
        center_loss(torch.zeros(1, 4, 6), present, frame, dropout=1.0)
    with pytest.raises(ValueError, match=r'centers: expected shape \(G, 4, 6\)'):
        center_loss(torch.zeros(1, 4, 5), present, frame)
    with pytest.raises(ValueError, match='prior'):
        center_loss(torch.zeros(1, 4, 6), present, frame, prior=torch.ones(3))


def test_frame_works_as_float32_buffer():
    frame = simplex_etf(19, 32, seed=0).float()
    centers = F.normalize(torch.randn(1, 19, 32), dim=-1)
    loss = center_loss(centers, torch.ones(1, 19, dtype=torch.bool), frame)
    assert loss.dtype == torch.float32
