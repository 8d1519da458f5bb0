from __future__ import annotations

import pytest
import torch

from paco_seg.core.reduction import REDUCTIONS, reduce_anchors

VALUES = torch.tensor([[1.0, 0.0, 5.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
VALID = torch.tensor([[True, False, True], [False, False, False], [True, True, False]])


class TestReduceAnchors:
    def test_none(self):
        assert reduce_anchors(VALUES, VALID, 'none') is VALUES

    def test_sum(self):
        assert reduce_anchors(VALUES, VALID, 'sum') == 8

    def test_mean_per_set_then_over_all_sets(self):
        assert reduce_anchors(VALUES, VALID, 'mean') == (3 + 0 + 1) / 3

    @pytest.mark.parametrize('shape', [(0, 3), (2, 0), (2, 3)])
    @pytest.mark.parametrize('reduction', REDUCTIONS)
    def test_nothing_valid_is_a_zero_in_the_graph(self, shape, reduction):
        values = torch.zeros(shape, requires_grad=True)
        loss = reduce_anchors(values * 1, torch.zeros(shape, dtype=torch.bool), reduction)
        assert loss.sum() == 0
        loss.sum().backward()
        assert values.grad is not None
        assert values.grad.isfinite().all()

    def test_weights_count_valid_anchors_more_often(self):
        weights = torch.tensor([[3.0, 9.0, 1.0], [1.0, 1.0, 1.0], [1.0, 4.0, 0.0]])
        first, last = (3 * 1.0 + 1 * 5.0) / 4, 2.0 / 5
        assert reduce_anchors(VALUES, VALID, 'mean', weights) == pytest.approx((first + last) / 3)
        assert reduce_anchors(VALUES, VALID, 'sum', weights) == 10
        assert reduce_anchors(VALUES, VALID, 'none', weights) is VALUES
        same = reduce_anchors(VALUES, VALID, 'mean', torch.full((3, 3), 0.25))
        assert same == pytest.approx((3 + 0 + 1) / 3)

    def test_weights_of_zero_give_a_zero(self):
        assert reduce_anchors(VALUES, VALID, 'mean', torch.zeros(3, 3)) == 0
