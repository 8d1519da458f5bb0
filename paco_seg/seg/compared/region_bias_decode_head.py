"""The other released Region Rebalance: an image-level bias on the pixel logits, also at test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_range
from paco_seg.core.compared.region import (
    classes_in_image,
    image_bias,
    predicted_region_loss,
    region_loss,
    region_means,
    soft_region_means,
    suppress_absent,
)
from paco_seg.core.frequency import load_class_frequency
from paco_seg.seg.compared.region_branch import image_prior
from paco_seg.seg.heads.branch_decode_head import BranchDecodeHead, own_random_numbers
from paco_seg.seg.heads.feature_taps import ClsSegTap, tap_for
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch


@MODELS.register_module()
class RegionBiasDecodeHead(BranchDecodeHead):
    """Any ``cls_seg`` decode head with the full Region Rebalance (arXiv 2204.01969, code).

    Unlike :class:`RegionRebalanceBranch` it changes the prediction: the regions that the pixel
    classifier predicts are classified, and their mean logit is added to every pixel of the image,
    in training and at inference. Its weights belong to the prediction (``region_bias.*``).

    Args:
        base_type: name of a registered decode head; all further arguments are its own.
        region_bias: settings of :class:`RegionBias`.
        training_branches: further branches, see :class:`BranchDecodeHead`.

    Raises:
        ValueError: a head that does not classify maps of C > 1 classes through ``cls_seg``.

    Example:
        >>> model = dict(decode_head=dict(type='RegionBiasDecodeHead', base_type='FCNHead'))
    """

    branch_modules = ('training_branches', 'region_bias')

    def __init__(self, *, region_bias: dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Heads with a tap of their own do not predict with the logits of cls_seg().
        base = type(self).base_class
        if tap_for(base) is not ClsSegTap or self.out_channels == 1:
            raise ValueError(
                f'base_type: expected a head that classifies maps through cls_seg() into at least '
                f'2 channels, got {base.__name__} with out_channels={self.out_channels}. '
                'Use RegionRebalanceBranch, which leaves inference alone'
            )
        with own_random_numbers():
            self.region_bias = RegionBias(
                in_channels=self.tap_channels,
                num_classes=self.num_classes,
                align_corners=self.align_corners,
                **(region_bias or {}),
            )

    def branches(self) -> list[nn.Module]:
        """List the branches that add losses."""
        return [*super().branches(), self.region_bias]

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Classify as the base head, outside of ``loss()`` with the bias of the image."""
        logits = super().cls_seg(feat)
        if self._taps is not None:  # the losses need both, without and with bias
            return logits
        return logits + self.region_bias.bias(feat, logits).to(logits)[:, :, None, None]


class RegionBias(TrainingBranch):
    """Region classifier of the full Region Rebalance, shared by the bias and the losses.

    No config of it was published; the weights and switches below are not the authors'.

    Args:
        in_channels: D of the feature.
        num_classes: C.
        align_corners: how logits are resized to the labels, as the head does it.
        frequency_file: JSON file of ``paco-seg statistics``; its image counts, with 1 for
            the extra class (released), are the prior of the region losses. None = no prior.
        main_weight: weight of the two cross entropies of the biased logits (the released code
            gives the unbiased one, the stock loss, the same weight).
        region_weight: weight of the two region losses.
        absent_weight: weight of predicted regions of classes that the image does not contain;
            the released option is a switch between 0 and 1. With 0 the true region of the ignored
            pixels is dropped as well, as in the released code: it bears the label of absence.
        label_smoothing: mass taken from the true class, 1 minus ``smooth`` of the released code.
        suppress_released: in the second cross entropy, absent classes get logit 0 as released
            (True) or probability 0 (False).
        dropout_ratio: dropout before the last layer of the region classifier.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        ValueError: a setting is out of range, or the file is of another dataset.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        align_corners: bool = False,
        frequency_file: str | None = None,
        main_weight: float = 1.0,
        region_weight: float = 1.0,
        absent_weight: float = 1.0,
        label_smoothing: float = 0.0,
        suppress_released: bool = True,
        dropout_ratio: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_range('region_bias.main_weight', main_weight, low=0.0)
        check_range('region_bias.region_weight', region_weight, low=0.0)
        check_range('region_bias.absent_weight', absent_weight, low=0.0)
        check_range('region_bias.label_smoothing', label_smoothing, low=0.0, high=1.0)
        check_range('region_bias.dropout_ratio', dropout_ratio, low=0.0, high=1.0)
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.main_weight = main_weight
        self.region_weight = region_weight
        self.absent_weight = absent_weight
        self.label_smoothing = label_smoothing
        self.suppress_released = suppress_released
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, in_channels),
            nn.ReLU(),
            nn.Dropout(dropout_ratio),
            nn.Linear(in_channels, num_classes + 1),
        )
        self.frequency_file = frequency_file
        prior = image_prior(frequency_file, num_classes, 'region_bias.frequency_file')
        extended = None if prior is None else torch.cat([prior, prior.new_ones(1)])
        self.register_buffer('region_prior', extended, persistent=False)

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse a frequency file about other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        if self.frequency_file is not None:
            load_class_frequency(self.frequency_file, 'region_bias.frequency_file', classes)

    def bias(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return biases (B, C) of images from features (B, D, h, w) and logits (B, C, h, w)."""
        return image_bias(self._predicted(features, logits))

    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """Compute cross entropies of the biased logits, losses of predicted and of true regions."""
        labels, ignore = inputs.labels, inputs.ignore_index
        assert labels is not None  # heads of sampled points are refused when the head is built
        present = classes_in_image(labels, self.num_classes, ignore_index=ignore)
        predicted = self._predicted(inputs.features, inputs.logits)
        logits = F.interpolate(
            inputs.logits.float(),
            size=labels.shape[1:],
            mode='bilinear',
            align_corners=self.align_corners,
        )
        biased = logits + image_bias(predicted)[:, :, None, None]
        masked = suppress_absent(biased, present, released=self.suppress_released)
        settings = dict(prior=self.region_prior, label_smoothing=self.label_smoothing)
        of_predicted = predicted_region_loss(
            predicted, present, absent_weight=self.absent_weight, **settings
        )
        of_true = self._true_region_loss(inputs, **settings)
        return {
            'loss_biased': self.main_weight * _pixel_mean(biased, labels, ignore),
            'loss_present': self.main_weight * _pixel_mean(masked, labels, ignore),
            'loss_predicted_region': self.region_weight * of_predicted,
            'loss_true_region': self.region_weight * of_true,
        }

    def _predicted(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return logits (B, C, C + 1) of the regions that the pixel classifier predicts."""
        return self._classified(soft_region_means(features, logits))

    def _true_region_loss(self, inputs: BranchInputs, **settings: Any) -> Tensor:
        """Compute the loss of the mean features of the batch; ignored pixels are the extra class.

        On the grid of the features with nearest labels, as the released code has it here.
        """
        labels = inputs.feature_labels
        labels = labels.masked_fill(labels == inputs.ignore_index, self.num_classes)
        slots = self.num_classes + 1
        means, found = region_means(inputs.features, labels, slots, ignore_index=-1)
        if self.absent_weight == 0:
            found = found & (torch.arange(slots, device=labels.device) < self.num_classes)
        targets = torch.arange(slots, device=labels.device).unsqueeze(0)
        return region_loss(self._classified(means), targets, found, **settings)

    def _classified(self, means: Tensor) -> Tensor:
        """Classify means, which are float32 whatever the weights are."""
        return self.classifier(means.to(next(self.classifier.parameters()).dtype))


def _pixel_mean(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Average the cross entropy over the pixels that are not ignored; 0 without any."""
    total = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction='sum')
    return total / torch.ne(labels, ignore_index).sum().clamp(min=1)
