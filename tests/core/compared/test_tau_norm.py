import pytest
import torch
from references import tau_norm as reference
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import (
    class_aware_indices,
    scaled_logits,
    tau_normalize,
    tau_normalized_logits,
)

pytestmark = pytest.mark.crt


def batch():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    return features, weight


@pytest.mark.parametrize('tau', [0.0, 0.7, 1.0, 2.0])
def test_tau_normalisation_equals_the_reference(tau):
    features, weight = batch()
    expected = reference.tau_normalized_logits(features.tolist(), weight.tolist(), tau)
    actual = tau_normalized_logits(features, weight, tau)
    assert_close(actual, torch.tensor(expected, dtype=torch.float64))


def test_limits_of_tau():
    features, weight = batch()
    assert torch.equal(tau_normalize(weight, 0.0), weight)
    assert torch.equal(tau_normalized_logits(features, weight, 0.0), features @ weight.t())
    assert_close(tau_normalize(weight, 1.0).norm(dim=1), torch.ones(4).double())
    with pytest.raises(ValueError, match='tau: expected >= 0'):
        tau_normalize(weight, -0.1)
    with pytest.raises(ShapeError, match='features'):
        tau_normalized_logits(features[:, :2], weight, 1.0)


def test_learnable_scales_equal_the_reference():
    features, weight = batch()
    logits = features @ weight.t()
    scales = torch.tensor([0.5, 1.0, 2.0, 0.1]).double()
    expected = reference.scaled_logits(logits.tolist(), scales.tolist())
    assert_close(scaled_logits(logits, scales), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(scaled_logits(logits, torch.ones(4)), logits)
    with pytest.raises(ShapeError, match='scales'):
        scaled_logits(logits, torch.ones(3))


@pytest.mark.parametrize('tau', [step / 10 for step in range(21)])
def test_a_zero_row_stays_zero_and_others_are_what_they_were(tau):
    weight = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    assert_close(tau_normalize(weight, tau), torch.stack([weight[0], weight[1] / 5**tau]))


def test_scaling_by_the_inverse_norm_is_tau_normalisation():
    features, weight = batch()
    scaled = scaled_logits(features @ weight.t(), 1 / weight.norm(dim=1))
    assert_close(scaled, tau_normalized_logits(features, weight, 1.0))


LABELS = torch.tensor([0] * 40 + [1] * 12 + [2] * 3 + [4])  # no sample of class 3


def draw(labels=LABELS, seed=0, **settings):
    return class_aware_indices(labels, generator=torch.Generator().manual_seed(seed), **settings)


def test_class_aware_epoch_visits_every_class_equally():
    indices = draw()
    assert len(indices) == 40 * 4
    assert torch.bincount(LABELS[indices]).tolist() == [40, 40, 40, 0, 40]
    visits = LABELS[indices].view(-1, 4)
    assert (visits == visits[:, :1]).all()  # four samples of one class at a time
    for cycle in visits[:, 0].view(-1, 4):
        assert sorted(cycle.tolist()) == [0, 1, 2, 4]


def test_samples_of_a_class_are_dealt_in_shuffled_cycles():
    indices = draw()
    assert torch.bincount(indices[LABELS[indices] == 0]).tolist() == [1] * 40
    medium = torch.bincount(indices[LABELS[indices] == 1])[40:]
    assert set(medium.tolist()) == {3, 4}  # 40 draws from 12
    assert (indices[LABELS[indices] == 4] == 55).all()


def test_equal_counts_make_one_epoch_a_permutation():
    labels = torch.arange(5).repeat(8)
    assert torch.equal(draw(labels).sort().values, torch.arange(40))


def test_class_aware_order_depends_on_the_generator_alone():
    torch.manual_seed(1)
    first = draw(seed=5)
    torch.manual_seed(2)
    assert torch.equal(draw(seed=5), first)
    assert not torch.equal(draw(seed=6), first)
    assert len(draw(length=7)) == 7
    assert len(draw(length=0)) == 0


def test_class_aware_sampling_refuses_bad_input():
    with pytest.raises(ValueError, match='number of samples: expected >= 1, got 0'):
        draw(LABELS[:0])
    with pytest.raises(ValueError, match='samples_per_visit'):
        draw(samples_per_visit=0)
    with pytest.raises(ValueError, match='labels'):
        draw(LABELS - 1)
    with pytest.raises(TypeError, match='labels'):
        draw(LABELS.float())
