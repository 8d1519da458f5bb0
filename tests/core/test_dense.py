from __future__ import annotations

import math

import torch

from paco_seg.core.contrast import ContrastRows
from paco_seg.core.dense import dense_contrast_sums


def sums(contrasted, key_contrasted):
    """Three rows at right or zero angles and two keys, T = 0.5: similarities are 0 or 2."""
    rows = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    rows = ContrastRows(
        rows.requires_grad_(),
        torch.tensor([[0, 0, 1]]),
        torch.tensor([contrasted]),
        keys,
        torch.tensor([0, 0]),
        torch.tensor(key_contrasted),
        num_classes=2,
    )
    return dense_contrast_sums(rows, 0.5)


class TestDenseContrastSums:
    def test_by_hand(self):
        log_sum_exp, positive_sum, positive_count = sums([True] * 3, [True] * 2)
        # Row 0: others 2 (row 1), 0 (row 2), 2 (key 0), 0 (key 1); row 2: 0, 0, 0, 2.
        wanted = [math.log(2 * math.exp(2) + 2)] * 2 + [math.log(3 + math.exp(2))]
        torch.testing.assert_close(log_sum_exp, torch.tensor([wanted]).double())
        assert positive_sum.tolist() == [[4.0, 4.0, 0.0]]
        assert positive_count.tolist() == [[3.0, 3.0, 0.0]]

    def test_rows_and_keys_that_are_not_contrasted(self):
        log_sum_exp, positive_sum, positive_count = sums([True, False, True], [False, True])
        # Row 0 sees row 2 (0) and key 1 (0); row 1 also row 0 (2); row 2 row 0 (0) and key 1 (2).
        wanted = [math.log(2), math.log(math.exp(2) + 2), math.log(1 + math.exp(2))]
        torch.testing.assert_close(log_sum_exp, torch.tensor([wanted]).double())
        assert positive_sum.tolist() == [[0.0, 2.0, 0.0]]
        assert positive_count.tolist() == [[1.0, 2.0, 0.0]]

    def test_no_mask_means_all(self):
        wanted = sums([True] * 3, [True] * 2)
        rows = torch.eye(2, dtype=torch.float64)[[0, 0, 1]].unsqueeze(0)
        keys = torch.eye(2, dtype=torch.float64)
        index = torch.tensor([[0, 0, 1]]), torch.tensor([0, 0])
        actual = dense_contrast_sums(
            ContrastRows(rows, index[0], None, keys, index[1], None, num_classes=2), 0.5
        )
        for got, want in zip(actual, wanted, strict=True):
            torch.testing.assert_close(got, want)

    def test_empty_contrast_set_is_minus_infinity_without_gradient(self):
        rows = torch.ones(1, 1, 2, dtype=torch.float64, requires_grad=True)
        nothing = torch.empty(0, dtype=torch.long)
        log_sum_exp, *_ = dense_contrast_sums(
            ContrastRows(
                rows,
                torch.zeros(1, 1, dtype=torch.long),
                torch.ones(1, 1, dtype=torch.bool),
                rows.new_zeros(0, 2),
                nothing,
                nothing.bool(),
                num_classes=1,
            ),
            1.0,
        )
        assert log_sum_exp.item() == -math.inf
        log_sum_exp.sum().backward()
        assert not rows.grad.any()
