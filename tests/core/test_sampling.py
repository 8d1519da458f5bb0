from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import pixel_options as reference

from paco_seg.core.sampling import (
    class_balance_weights,
    hardness_weights,
    importance_weights,
    per_class_mask,
    take_rows,
    uniform_indices,
    weighted_indices,
)


class TestUniformIndices:
    @settings(max_examples=50, derandomize=True, database=None, deadline=None)
    @given(sets=st.integers(0, 3), candidates=st.integers(0, 20), samples=st.integers(-1, 25))
    def test_without_replacement(self, sets, candidates, samples):
        rng = torch.Generator().manual_seed(0)
        indices = uniform_indices(sets, candidates, samples, generator=rng)
        count = candidates if samples == -1 else min(samples, candidates)
        assert indices.shape == (sets, count)
        assert indices.dtype == torch.int64
        for row in indices.tolist():
            assert len(set(row)) == count
            assert all(0 <= index < candidates for index in row)

    @pytest.mark.parametrize('samples', [-1, 5, 6])
    def test_all_in_order(self, samples):
        assert uniform_indices(2, 5, samples).tolist() == [[0, 1, 2, 3, 4]] * 2

    def test_sets_are_independent_and_the_generator_decides(self):
        draws = [
            uniform_indices(2, 1000, 100, generator=torch.Generator().manual_seed(seed))
            for seed in (0, 0, 1)
        ]
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])
        assert set(draws[0][0].tolist()) != set(draws[0][1].tolist())

    def test_uniform(self):
        """Each of 10 pixels is drawn 3 times in 10: 4000 draws are within 5 standard errors."""
        rng = torch.Generator().manual_seed(0)
        indices = uniform_indices(4000, 10, 3, generator=rng)
        share = torch.bincount(indices.flatten(), minlength=10) / 4000
        assert (share - 0.3).abs().max() < 5 * (0.3 * 0.7 / 4000) ** 0.5


class TestTakeRows:
    def test_each_set_at_its_own_indices(self):
        values = torch.arange(12.0).view(2, 3, 2).transpose(1, 2)
        rows = take_rows(values, torch.tensor([[2, 0], [1, 1]]))
        assert rows.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]

    def test_gradient_of_a_row_taken_twice_adds_up(self):
        values = torch.zeros(1, 2, 3, requires_grad=True)
        take_rows(values, torch.tensor([[1, 1]])).sum().backward()
        assert values.grad.tolist() == [[[0, 2, 0], [0, 2, 0]]]


class TestWeightedIndices:
    @pytest.mark.parametrize('samples', [0, 1, 3, 7, 9, -1])
    def test_without_replacement(self, samples):
        weights = torch.rand(3, 7, generator=torch.Generator().manual_seed(0))
        indices = weighted_indices(weights, samples, generator=torch.Generator().manual_seed(0))
        assert indices.shape == (3, 7 if samples == -1 else min(samples, 7))
        assert all(len(set(row)) == len(row) for row in indices.tolist())

    def test_proportional_to_the_weights(self):
        weights = torch.tensor([0.1, 0.2, 0.7]).expand(4000, 3)
        first = weighted_indices(weights, 1, generator=torch.Generator().manual_seed(0))
        share = torch.bincount(first.flatten(), minlength=3) / 4000
        error = (weights[0] * (1 - weights[0]) / 4000).sqrt()
        assert ((share - weights[0]).abs() < 5 * error).all()

    def test_zero_weights_come_last(self):
        weights = torch.tensor([[0.0, 1e-6, 0.0, 3.0]]).expand(50, 4)
        indices = weighted_indices(weights, 2, generator=torch.Generator().manual_seed(0))
        assert (indices.sort(dim=1).values == torch.tensor([1, 3])).all()


class TestClassBalanceWeights:
    def test_every_present_class_has_the_same_total(self):
        labels = torch.tensor([[0, 0, 0, 1, 255, 255], [2, 2, 2, 2, 2, 2]])
        weights = class_balance_weights(labels, 3)
        assert weights.dtype == torch.float32
        torch.testing.assert_close(weights[0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0, 0.5, 0.5]))
        torch.testing.assert_close(weights[1], torch.full((6,), 1 / 6))


class TestImportanceWeights:
    def test_equal_the_loops(self):
        rng = torch.Generator().manual_seed(0)
        labels = torch.randint(-1, 5, (3, 40), generator=rng)  # -1 and 4 are outside
        drawn = labels.gather(1, uniform_indices(3, 40, 12, generator=rng))
        weights = importance_weights(labels, drawn, 4)
        assert weights.dtype == torch.float32
        wanted = reference.importance_weights(labels, drawn, 4)
        torch.testing.assert_close(weights.double(), wanted, rtol=1e-6, atol=0)

    def test_the_mean_of_a_balanced_draw_is_unbiased(self):
        rng = torch.Generator().manual_seed(0)
        labels = torch.tensor([0] * 80 + [1] * 15 + [2] * 5 + [255] * 20).expand(4000, -1)
        values = torch.randn(120, generator=rng).expand(4000, -1) + 3.0 * labels
        truth = values[0, :100].mean()  # of the pixels that are anchors
        indices = weighted_indices(class_balance_weights(labels, 3), 48, generator=rng)
        drawn, found = labels.gather(1, indices), values.gather(1, indices)
        weights = importance_weights(labels, drawn, 3)
        torch.testing.assert_close(weights.sum(1), torch.full((4000,), 100.0))
        means = (weights * found).sum(1) / weights.sum(1)
        assert (means.mean() - truth).abs() < 4 * means.std() / 4000**0.5
        without = found[drawn != 255].mean()
        assert (without - truth).abs() > 1  # what the draw alone would give

    def test_nothing_drawn(self):
        assert importance_weights(
            torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long), 1
        ).shape == (2, 0)


class TestHardnessWeights:
    def test_one_minus_probability_of_the_true_class(self):
        logits = torch.tensor([[[0.0, 0.0], [50.0, -50.0], [50.0, -50.0], [1.0, 2.0]]])
        weights = hardness_weights(logits.requires_grad_(), torch.tensor([[0, 0, 1, 255]]))
        torch.testing.assert_close(weights, torch.tensor([[0.5, 0.0, 1.0, 0.0]]))
        assert not weights.requires_grad


class TestPerClassMask:
    @settings(max_examples=50, derandomize=True, database=None, deadline=None)
    @given(seed=st.integers(0, 999), pixels=st.integers(0, 30), per_class=st.integers(1, 5))
    def test_takes_that_many_of_each_class_or_all(self, seed, pixels, per_class):
        rng = torch.Generator().manual_seed(seed)
        labels = torch.randint(-1, 5, (3, pixels), generator=rng)  # -1 and 4 are outside
        mask = per_class_mask(labels, 4, per_class, generator=rng)
        assert not mask[(labels < 0) | (labels > 3)].any()
        for row, chosen in zip(labels, mask, strict=True):
            for c in range(4):
                assert chosen[row == c].sum() == min(per_class, (row == c).sum())

    def test_members_are_drawn_uniformly(self):
        rng = torch.Generator().manual_seed(0)
        mask = per_class_mask(torch.zeros(4000, 5, dtype=torch.long), 1, 2, generator=rng)
        assert (mask.float().mean(0) - 0.4).abs().max() < 5 * (0.4 * 0.6 / 4000) ** 0.5
