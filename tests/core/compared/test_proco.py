import numpy as np
import pytest
import torch
from references import proco as reference
from scipy.special import ive, ivp
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import (
    VMFMoments,
    balanced_softmax_loss,
    concentration,
    log_scaled_bessel,
    vmf_logits,
)

POINTS = np.array([1e-3, 0.3, 1.0, 7.0, 40.0, 300.0, 5000.0])
COUNTS = [50, 10, 4]


def unit(count, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, channels, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize('order', [0.0, 0.5, 7.0, 15.0, 23.5, 24.0, 63.0])
def test_bessel_and_its_gradient_equal_scipy(order):
    square = torch.tensor(POINTS**2, requires_grad=True)
    value = log_scaled_bessel(order, square)
    (gradient,) = torch.autograd.grad(value.sum(), square)
    scaled, above = ive(order, POINTS), ive(order + 1, POINTS)
    known = torch.tensor((scaled > 1e-290) & (above > 1e-290))  # elsewhere scipy underflows
    with np.errstate(divide='ignore', invalid='ignore'):
        expected = np.log(scaled) + POINTS - order * np.log(POINTS)
        slope = above / scaled / (2 * POINTS)
    assert known.sum() >= 5
    assert_close(value.detach()[known], torch.tensor(expected)[known], rtol=1e-10, atol=1e-9)
    assert_close(gradient[known], torch.tensor(slope)[known], rtol=1e-8, atol=0)
    if order == 7.0:  # the derivative of I itself, by scipy
        direct = ivp(order, POINTS[1:5]) / (ive(order, POINTS[1:5]) * np.exp(POINTS[1:5]))
        assert_close(2 * POINTS[1:5] * gradient.numpy()[1:5], direct - order / POINTS[1:5])


@pytest.mark.parametrize('order', [0.0, 3.0, 63.0, 511.0])
def test_bessel_equals_its_series_where_scipy_underflows(order):
    points = [1e-6, 2.0, 14.0, 50.0]
    expected = [reference.log_bessel(order, x) for x in points]
    value = log_scaled_bessel(order, torch.tensor(points) ** 2)
    assert_close(value, torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-9)
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_scaled_bessel(order, zero).sum(), zero)
    assert_close(gradient.item(), 1 / (4 * (order + 1)), rtol=1e-9, atol=0)
    large = torch.tensor([1e10], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_scaled_bessel(order, large).sum(), large)
    assert 0 < 2e5 * gradient.item() <= 1  # I_(v+1) / I_v needs no clipping


@pytest.mark.parametrize(
    ('channels', 'kappa', 'temperature', 'expected'),
    [
        (16, 20.0, 0.5, (0.0686008, 1.3981316, -1.3476506)),
        (128, 606.3158, 0.1, (0.0742688, 9.0142830, -8.9987832)),
        (1024, 4850.5263, 0.07, (0.0189351, 12.8603052, -12.8563329)),
    ],
)
def test_logits_of_known_angles(channels, kappa, temperature, expected):
    frame = torch.eye(channels, dtype=torch.float64)
    rows = torch.stack([frame[1], frame[0], -frame[0]])
    for dtype, tolerance in ((torch.float64, 1e-7), (torch.float32, 2e-6)):
        logits = vmf_logits(
            rows.to(dtype),
            frame[:1].to(dtype),
            torch.tensor([kappa], dtype=dtype),
            temperature=temperature,
        )
        assert logits.dtype == dtype
        assert_close(logits[:, 0].tolist(), list(expected), rtol=0, atol=tolerance)


def test_loss_equals_the_reference():
    rows, directions = unit(5, 6), unit(3, 6, seed=1)
    kappas, labels = (
        torch.tensor([0.5, 4.0, 90.0], dtype=torch.float64),
        torch.tensor([0, 2, 1, 1, 0]),
    )
    logits = vmf_logits(rows, directions, kappas, temperature=0.2)
    loss = balanced_softmax_loss(logits, labels, torch.tensor(COUNTS).double())
    expected = reference.proco(
        rows.tolist(), labels.tolist(), directions.tolist(), kappas.tolist(), COUNTS, 0.2
    )
    assert_close(loss, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_check_1_logits_are_the_expectation_over_samples():
    """Of v on the circle with density exp(kappa cos): an integral instead of drawn samples."""
    angles = torch.linspace(-np.pi, np.pi, 20001, dtype=torch.float64)[:-1]
    density = (3.0 * angles.cos()).softmax(0)
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    rows = unit(4, 2)
    expected = ((rows @ circle.T / 0.5).exp() * density).sum(1).log()
    mean = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    logits = vmf_logits(rows, mean, torch.tensor([3.0]), temperature=0.5)
    assert_close(logits[:, 0], expected)


def test_check_2_limits_of_the_concentration():
    rows, directions = unit(4, 16), unit(3, 16, seed=1)
    sharp = vmf_logits(rows, directions, torch.full((3,), 1e9), temperature=0.1)
    assert_close(sharp, rows @ directions.T / 0.1, rtol=0, atol=1e-4)
    flat = vmf_logits(rows, directions, torch.zeros(3), temperature=0.1)
    assert_close(flat, flat[:1, :1].expand(4, 3))
    prior = torch.tensor(COUNTS).double()
    loss = balanced_softmax_loss(flat, torch.tensor([0, 1, 2, 1]), prior)
    assert_close(loss, -(prior / prior.sum()).log()[[0, 1, 2, 1]])


def test_gradients():
    rows, directions = unit(3, 6).requires_grad_(), unit(2, 6, seed=1)
    kappas = torch.tensor([2.0, 60.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: vmf_logits(F.normalize(z), directions, kappas, temperature=0.2), (rows,)
    )
    # where the square is 0, the slope by it is finite
    opposite = torch.tensor([[-1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    direction = -opposite.detach()
    logits = vmf_logits(opposite, direction, torch.tensor([5.0]), temperature=0.2)
    (gradient,) = torch.autograd.grad(logits.sum(), opposite)
    assert gradient.isfinite().all()


def test_concentration():
    lengths = torch.tensor([0.0, 0.6, 0.9, 1.0, 1.0 + 1e-7])
    kappas = concentration(lengths, 16)
    assert_close(kappas[1].item(), reference.concentration(0.6, 16), rtol=1e-6, atol=0)
    assert_close(kappas[1].item(), 14.66, rtol=0, atol=5e-3)
    assert_close(concentration(lengths, 16, released=True)[1].item(), 15.0, rtol=1e-6, atol=0)
    released = concentration(torch.tensor(0.9), 128, released=True)
    assert_close(released.item(), 128 * 90 / 19, rtol=1e-6, atol=0)
    assert kappas[[0, 3, 4]].tolist() == [0.0, 1e5, 1e5]


def moments():
    return VMFMoments(3, 4)


def test_every_process_starts_from_the_same_means():
    torch.manual_seed(0)
    first = moments()
    torch.manual_seed(1)  # randomness.diff_rank_seed
    assert torch.equal(first.means, moments().means)


def test_moments_are_the_means_of_all_rows_in_any_order_and_split():
    rows, labels = unit(9, 4), torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 1])
    whole, split = moments(), moments()
    start = whole.means[0].clone()
    whole.update(rows, labels)
    order = torch.tensor([4, 8, 1, 0, 2, 3, 7, 6, 5])
    for part in order.split([2, 0, 4, 3]):
        split.update(rows[part], labels[part])
    assert_close(split.means, whole.means)
    assert torch.equal(split.counts, whole.counts)
    for label in (0, 1):
        expected = reference.class_means(rows.tolist(), labels.tolist(), label)
        assert_close(whole.means[0, label], torch.tensor(expected))
    # nothing is known about the third class: the random start, and no NaN
    assert torch.equal(whole.means[0, 2], start[2])
    directions, kappas = whole.distributions()
    assert_close(directions.norm(dim=1), torch.ones(3))
    assert kappas.isfinite().all()
    assert_close(kappas[2], concentration(torch.tensor(0.9), 4))


def test_moments_in_use_are_those_of_the_last_epoch_and_this_one():
    rows, labels = unit(6, 4).float(), torch.tensor([0, 0, 1, 0, 0, 0])
    known = moments()
    for epoch in range(3):
        for _ in range(2):  # told ahead of every step, not only of the first
            known.start_epoch(epoch)
        known.update(rows[2 * epoch : 2 * epoch + 2], labels[2 * epoch : 2 * epoch + 2])
    assert_close(known.means[0, 0], rows[[3, 4, 5]].mean(0))
    assert known.counts.tolist() == [[3, 1, 0], [2, 0, 0]]
    assert_close(known.means[0, 1], rows[2])  # not seen in the last epoch: kept
    known.start_epoch(3)
    known.start_epoch(4)  # an epoch without a step loses nothing
    assert_close(known.means[0, 0], rows[[4, 5]].mean(0))
    assert_close(known.means[0, 1], rows[2])


def test_moments_resume_exactly():
    rows, labels = unit(8, 4), torch.tensor([0, 1, 2, 0, 0, 1, 2, 2])

    def steps(known, chosen):
        for step in chosen:
            known.start_epoch(step // 2)
            known.update(rows[2 * step : 2 * step + 2], labels[2 * step : 2 * step + 2])
        return known.state_dict()

    whole = steps(moments(), range(4))
    for stop in (1, 2, 3):
        half, resumed = steps(moments(), range(stop)), moments()
        resumed.means.zero_()
        resumed.load_state_dict(half)
        for key, value in steps(resumed, range(stop, 4)).items():
            assert torch.equal(value, whole[key]), (stop, key)


def test_moments_leave_out_what_is_not_finite():
    rows, labels = unit(4, 4), torch.tensor([0, 1, 2, 0])
    clean, known = moments(), moments()
    clean.update(rows[:3], labels[:3])
    rows[3, 1] = torch.inf
    known.update(rows, labels)
    assert torch.equal(known.means, clean.means)
    assert torch.equal(known.counts, clean.counts)


def test_one_row_gives_the_largest_concentration():
    known = moments()
    known.update(unit(1, 4), torch.tensor([1]))
    assert known.distributions()[1][1] > 9e4


def test_bad_input_is_refused():
    rows, directions = unit(4, 6), unit(3, 6)
    with pytest.raises(ShapeError, match='directions'):
        vmf_logits(rows, directions[:, :2], torch.ones(3), temperature=0.1)
    with pytest.raises(ShapeError, match='concentrations'):
        vmf_logits(rows, directions, torch.ones(2), temperature=0.1)
    with pytest.raises(ValueError, match='temperature: expected > 0'):
        vmf_logits(rows, directions, torch.ones(3), temperature=0)
    with pytest.raises(ValueError, match='order: expected >= 0'):
        log_scaled_bessel(-0.5, torch.ones(1))
    with pytest.raises(ValueError, match='channels: expected >= 2'):
        VMFMoments(3, 1)
    with pytest.raises(ShapeError, match='embeddings'):
        moments().update(rows, torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 3\)'):
        moments().update(unit(2, 4), torch.tensor([0, 3]))
