from __future__ import annotations

import pytest
import torch

from paco_seg.core.alpha import (
    CLASSIFICATION,
    alpha_products,
    alpha_report,
    alpha_warning,
    auto_alpha,
    expected_positives,
)


class TestExpectedPositives:
    def test_by_hand(self):
        positives = expected_positives(torch.tensor([0.75, 0.25]), 100, certain=1)
        assert positives.tolist() == [76.0, 26.0]

    def test_shares_need_not_sum_to_one(self):
        """Segmentation: the mean share of a class in the images that contain it."""
        assert expected_positives(torch.tensor([0.5, 0.75]), 8).tolist() == [4.0, 6.0]

    def test_equals_the_count_over_random_queues(self):
        shares = torch.tensor([0.7, 0.2, 0.1])
        generator = torch.Generator().manual_seed(0)
        rows = torch.multinomial(shares, 200_000, replacement=True, generator=generator)
        found = torch.bincount(rows) / 2000  # 2000 queues of 100 keys
        torch.testing.assert_close(
            expected_positives(shares, 100), found.double(), rtol=0.02, atol=0
        )

    @pytest.mark.parametrize('share', [-0.1, 1.5, float('nan')])
    def test_refuses_counts(self, share):
        with pytest.raises(ValueError, match=r'shares: expected values in \[0, 1\], got .*Divide'):
            expected_positives(torch.tensor([0.5, share]), 10)

    def test_refuses_a_negative_number_of_rows(self):
        with pytest.raises(ValueError, match='num_rows: expected >= 0, got -1'):
            expected_positives(torch.tensor([1.0]), -1)


class TestAutoAlpha:
    def test_reaches_the_target_for_the_most_frequent_class(self):
        positives = expected_positives(torch.tensor([0.1, 0.6, 0.3]), 1024, certain=1)
        alpha = auto_alpha(positives, target=2.0)
        assert float(alpha * positives.max()) == pytest.approx(2.0)

    def test_is_near_the_published_alpha_of_balanced_cifar_100(self):
        """One class of 100, 1024 keys, 128 images a process; the recipe has 0.01."""
        positives = expected_positives(torch.tensor([0.01]), 1024 + 254, certain=1)
        assert auto_alpha(positives) == pytest.approx(0.01, rel=0.1)

    def test_needs_a_positive(self):
        with pytest.raises(ValueError, match=r"'auto' from, got \|P\| = 0.0. Use a queue"):
            auto_alpha(torch.zeros(3))

    def test_refuses_a_target_of_zero(self):
        with pytest.raises(ValueError, match='target: expected > 0, got 0'):
            auto_alpha(torch.ones(3), target=0)


class TestReport:
    positives = torch.tensor([100.0, 20.0, 10.0, 1.0])
    groups = dict(head=[0], common=[1, 2], tail=[3], none=[])

    def test_products_by_group(self):
        products = alpha_products(0.1, self.positives, self.groups)
        assert list(products) == ['head', 'common', 'tail']
        assert products['common'] == pytest.approx((2, 1.0, 1.5, 2.0))

    def test_line(self):
        line = alpha_report(0.1, alpha_products(0.1, self.positives, self.groups))
        assert line == (
            'alpha |P| at alpha=0.1, mean [smallest, largest]: head (1 classes) 10, '
            'common (2 classes) 1.5 [1, 2], tail (1 classes) 0.1'
        )

    @pytest.mark.parametrize(
        ('share', 'keys', 'images', 'alpha'),
        [
            pytest.param(500 / 10847, 1024, 128, 0.01, id='CIFAR-100-LT'),
            pytest.param(1 / 100, 1024, 128, 0.01, id='CIFAR-100'),
            pytest.param(1280 / 115846, 8192, 32, 0.05, id='ImageNet-LT'),
            pytest.param(1 / 1000, 8192, 64, 0.05, id='ImageNet'),
            pytest.param(1 / 1000, 8192, 32, 0.2, id='ImageNet-MAE'),
        ],
    )
    def test_published_recipes_do_not_warn(self, share, keys, images, alpha):
        positives = expected_positives(torch.tensor([share]), keys + 2 * (images - 1), certain=1)
        assert alpha_warning(alpha, positives) is None

    def test_a_copied_alpha_on_few_classes_warns(self):
        """Ten classes, imbalance 100: alpha 0.05 of ImageNet-LT is thirty times too large."""
        positives = expected_positives(torch.tensor([0.4]), 1024 + 254, certain=1)
        message = alpha_warning(0.05, positives, key='model.head.loss.alpha')
        assert message is not None
        assert message.startswith('model.head.loss.alpha: expected alpha |P|')
        # the published fine-tuning on Places-LT has a product of 33
        assert 'in [0.1, 5], the range of the published recipes but for fine-tuning' in message
        assert 'got 0.05 x 512.2 = 25.6: the frequent classes' in message
        assert "Set it near 0.00029 (alpha='auto' does)" in message

    def test_too_small_warns(self):
        message = alpha_warning(1e-6, self.positives, CLASSIFICATION)
        assert message is not None
        assert 'hardly act' in message
