"""Class centers for heads that classify masks, where no pixel is classified."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_labels, check_range
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch
from paco_seg.seg.losses.loss_name import check_loss_name


@MODELS.register_module()
class PixelClassifierBranch(TrainingBranch):
    """An auxiliary 1x1 classifier of the pixel embeddings of MaskFormer and Mask2Former.

    Heads that classify masks have no logit of a class at a pixel, and no weights that could be
    class centers. This classifier learns them by a cross entropy of its own, whose gradient ends at
    the classifier: what a contrast does to the decoder is what the contrast does, and without one
    the network trains as without this branch. It exists in training only; the head adds it to
    whatever other branches it has.

    Args:
        in_channels: D of the tapped feature; the head fills it in.
        num_classes: C; the head fills it in.
        norm_cfg: not used.
        loss_weight: factor of its cross entropy, >= 0.
        loss_name: key of the loss in the log.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        norm_cfg: dict | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_pixel_ce',
        init_cfg: Any = None,
    ) -> None:
        # As the classifiers of the heads that have one.
        super().__init__(init_cfg or dict(type='Normal', layer='Conv2d', std=0.01))
        check_range('PixelClassifierBranch.loss_weight', loss_weight, low=0.0)
        check_loss_name('PixelClassifierBranch.loss_name', loss_name)
        self.classifier = nn.Conv2d(in_channels, num_classes, kernel_size=1)
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def classify(self, features: Tensor) -> Tensor:
        """Return logits (B, C, h, w) of features (B, D, h, w); the centers of the contrast."""
        return self.classifier(features)

    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """Compute the cross entropy of the classifier, which leaves the features alone.

        Raises:
            ValueError: a label is neither a class nor the ignored one.
        """
        logits = self.classifier(inputs.features.detach()).float()
        allowed = (inputs.ignore_index,)
        check_labels('labels', inputs.feature_labels, logits.shape[1], allowed=allowed)
        values = F.cross_entropy(
            logits, inputs.feature_labels, ignore_index=inputs.ignore_index, reduction='sum'
        )
        count = (inputs.feature_labels != inputs.ignore_index).sum().clamp(min=1)
        return {self.loss_name: self.loss_weight * values / count}
