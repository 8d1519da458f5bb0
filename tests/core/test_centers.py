from __future__ import annotations

import torch

from paco_seg.core.centers import adjust_center_logits, center_target_sum

LOGITS = torch.tensor([[1.0, 2.0, 4.0], [0.5, -1.0, 3.0]], dtype=torch.float64)


class TestAdjustCenterLogits:
    def test_identity_without_settings(self):
        assert adjust_center_logits(LOGITS, None, 1.0) is LOGITS

    def test_temperature_divides_the_prior_too(self):
        prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
        wanted = (LOGITS + (prior + 1e-9).log()) / 2
        torch.testing.assert_close(adjust_center_logits(LOGITS, prior, 2.0), wanted)

    def test_prior_takes_the_dtype_of_the_logits(self):
        prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
        assert adjust_center_logits(LOGITS.float(), prior, 1.0).dtype == torch.float32

    def test_does_not_write_to_its_input(self):
        logits = LOGITS.clone()
        adjust_center_logits(logits, torch.ones(3), 3.0)
        assert torch.equal(logits, LOGITS)


class TestCenterTargetSum:
    targets = torch.tensor([2, 0])

    def test_one_hot(self):
        assert center_target_sum(LOGITS, self.targets, 0.0).tolist() == [4.0, 0.5]

    def test_smoothing_spreads_over_the_other_classes(self):
        # 0.9 on the own class and 0.05 on each of the two others.
        wanted = [0.9 * 4 + 0.05 * (1 + 2), 0.9 * 0.5 + 0.05 * (-1 + 3)]
        torch.testing.assert_close(
            center_target_sum(LOGITS, self.targets, 0.1), torch.tensor(wanted).double()
        )

    def test_weights_of_a_row_sum_to_one(self):
        shifted = center_target_sum(LOGITS + 7, self.targets, 0.3)
        torch.testing.assert_close(shifted, center_target_sum(LOGITS, self.targets, 0.3) + 7)
