"""The weight from gradient norms, held to norms that are known and to a loop."""

from __future__ import annotations

import pytest
import torch
from references import pixel_options as reference

from paco_seg.core.gradient_balance import GradientBalance, MainTask


def features(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 5, generator=generator).to(dtype).requires_grad_()


def losses(shared, factor):
    """Two means with gradients in the ratio 1 : factor."""
    return (shared * 0.5).mean(), (shared * 0.5 * factor).mean()


def test_the_weight_brings_the_gradients_to_the_ratio():
    shared = features()
    main = (shared.sigmoid() * torch.arange(5.0)).mean()
    second = (shared**2).mean()
    weight = GradientBalance(0.5)(second, MainTask(main, shared), 0)
    (g,) = torch.autograd.grad(main, shared, retain_graph=True)
    (h,) = torch.autograd.grad(weight * second, shared)
    torch.testing.assert_close(h.norm(), 0.5 * g.norm())
    assert not weight.requires_grad


def test_the_running_mean_equals_the_loop():
    balance, shared = GradientBalance(2.0, interval=1), features()
    factors = [0.5, 4.0, 1.0, 3.0, 0.1, 7.0, 2.0, 2.0, 0.3, 5.0, 6.0, 0.2]
    for step, factor in enumerate(factors):
        main, second = losses(shared, factor)
        weight = balance(second, MainTask(main, shared), step)
        wanted = reference.balanced_weight([1 / f for f in factors[: step + 1]], 2.0)
        assert float(weight) == pytest.approx(wanted, rel=1e-5)


def test_one_step_of_an_interval_measures():
    balance, shared = GradientBalance(interval=3), features()
    weights = []
    for step, factor in enumerate([2.0, 5.0, 5.0, 8.0]):
        main, second = losses(shared, factor)
        weights.append(float(balance(second, MainTask(main, shared), step)))
    # 1 / 2 at first, then the geometric mean with 1 / 8
    assert weights == pytest.approx([0.5, 0.5, 0.5, 0.25])


def test_only_training_measures():
    balance, shared = GradientBalance().eval(), features()
    main, second = losses(shared, 5.0)
    assert balance(second, MainTask(main, shared), 0) == 1
    with torch.no_grad():
        assert balance.train()(second, MainTask(main, shared), 0) == 1
    assert balance.measured == 0


@pytest.mark.parametrize('factor', [0.0, float('nan'), float('inf')])
def test_what_is_no_number_is_left_out(factor):
    balance, shared = GradientBalance(interval=1), features()
    main, second = losses(shared, 4.0)
    balance(second, MainTask(main, shared), 0)
    main, second = losses(shared, factor)
    assert float(balance(second, MainTask(main, shared), 1)) == pytest.approx(0.25)
    assert balance.measured == 1


def test_the_state_resumes():
    whole, resumed, shared = GradientBalance(), GradientBalance(), features()
    main, second = losses(shared, 3.0)
    whole(second, MainTask(main, shared), 0)
    resumed.load_state_dict(whole.state_dict())
    main, second = losses(shared, 11.0)
    assert whole(second, MainTask(main, shared), 10) == resumed(second, MainTask(main, shared), 10)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_gradients_of_means_over_many_pixels_are_not_lost_in_half_precision(dtype):
    shared = torch.full((1, 1, 512, 512), 0.5, dtype=dtype, requires_grad=True)
    main, second = (shared.float() * 1e-2).mean(), (shared.float() * 4e-2).mean()
    # A millionth of a hundredth: below the smallest number of float16.
    weight = GradientBalance()(second, MainTask(main, shared), 0)
    assert float(weight) == pytest.approx(0.25, rel=1e-2)


def test_losses_and_their_gradients_stay_what_they_are():
    shared = features()
    main, second = losses(shared, 3.0)
    GradientBalance()(second, MainTask(main, shared), 0)
    assert shared.grad is None
    second.backward()
    torch.testing.assert_close(shared.grad, torch.full_like(shared, 1.5 / shared.numel()))


@pytest.mark.parametrize('trained', [False, True])
def test_nothing_to_compare_is_refused(trained):
    shared, other = features().requires_grad_(trained), features()
    message = r"loss_contrast\.loss_weight: expected a number where 'auto' has no gradients"
    main, second = other.mean(), other.sum()
    with pytest.raises(ValueError, match=message):
        GradientBalance(key='loss_contrast')(second, MainTask(main, shared), 0)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(ratio=0.0), r'k\.gradient_ratio: expected > 0, got 0'),
        (dict(ratio=-1.0), r'k\.gradient_ratio: expected > 0, got -1'),
        (dict(interval=0), r'k\.interval: expected >= 1, got 0'),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises(ValueError, match=message):
        GradientBalance(**settings, key='k')
