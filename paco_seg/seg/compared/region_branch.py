"""What Region Rebalance and CeCo share: class regions, their projection and their prior."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from paco_seg.core.checks import check_bool, check_choice, check_count, check_range
from paco_seg.core.compared.region import GROUPINGS, region_means
from paco_seg.core.compared.upsampled_region import upsampled_region_means
from paco_seg.core.frequency import check_num_classes, load_class_frequency
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch
from paco_seg.seg.losses.loss_name import check_loss_name

RESOLUTIONS = ('label', 'grid')


class RegionBranch(TrainingBranch):
    """Region means and their projection.

    1x1 convolution and norm on the feature map, mean over the pixels of each class, linear layer
    and ReLU on the means. Regions are those of the local rank. The means are those of the reduced
    map upsampled to the size of the labels, as in the released code, computed without upsampling
    (:func:`upsampled_region_means`); they can be taken on the grid of the feature map with nearest
    labels instead, where classes of a few pixels vanish.

    Args:
        in_channels: D of the tapped feature; the head fills it in.
        num_classes: C; the head fills it in.
        norm_cfg: norm after the convolution; default that of the head, else SyncBN. The released
            code uses BN.
        frequency_file: JSON file of ``paco-seg statistics``; its image counts are the prior.
            None = no prior.
        reduced_channels: channels of the region means.
        hidden_channels: channels after the linear layer.
        grouping: 'batch' = one region per class and rank (released), 'image' = per image.
        resolution: 'label' = means over the label pixels of the upsampled map (released), 'grid' =
            means over the points of the feature map. Heads of sampled points take their points.
        align_corners: of the upsampling; True as released, None as the head resizes its logits.
        learnable: whether the layers of this branch are trained. The released code freezes all
            of them at their random initialisation, so that only the decoder learns.
        label_smoothing: mass taken from the true class, 1 minus ``smooth`` of the released code.
        dropout_ratio: dropout before the region classifier.
        loss_weight: factor of the loss, >= 0. With 0 the branch does not run at all, so that
            training is bit for bit that of the base head.
        loss_name: key of the loss in the log.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        ValueError: a setting is out of range, or the file is of another dataset.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        norm_cfg: dict | None = None,
        frequency_file: str | None = None,
        reduced_channels: int = 128,
        hidden_channels: int = 512,
        grouping: str = 'batch',
        resolution: str = 'label',
        align_corners: bool | None = True,
        learnable: bool = False,
        label_smoothing: float = 0.0,
        dropout_ratio: float = 0.1,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_region',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        where = type(self).__name__
        check_count(f'{where}.reduced_channels', reduced_channels, low=1)
        check_count(f'{where}.hidden_channels', hidden_channels, low=1)
        check_bool(f'{where}.learnable', learnable)
        check_choice(f'{where}.grouping', grouping, GROUPINGS)
        check_choice(f'{where}.resolution', resolution, RESOLUTIONS)
        if align_corners is not None:
            check_bool(f'{where}.align_corners', align_corners)
        check_range(f'{where}.label_smoothing', label_smoothing, low=0.0, high=1.0)
        check_range(f'{where}.dropout_ratio', dropout_ratio, low=0.0, high=1.0)
        check_range(f'{where}.loss_weight', loss_weight, low=0.0)
        check_loss_name(f'{where}.loss_name', loss_name)
        self.num_classes = num_classes
        self.hidden_channels = hidden_channels
        self.grouping = grouping
        self.resolution = resolution
        self.align_corners = align_corners
        self.label_smoothing = label_smoothing
        self.dropout_ratio = dropout_ratio
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.reduce = ConvModule(
            in_channels,
            reduced_channels,
            kernel_size=1,
            bias=False,
            norm_cfg=norm_cfg or dict(type='SyncBN', requires_grad=True),
            act_cfg=None,
        )
        self.gain = nn.Sequential(nn.Linear(reduced_channels, hidden_channels), nn.ReLU())
        # Not in checkpoints: it follows from the config.
        self.register_buffer(
            'region_prior',
            image_prior(frequency_file, num_classes, f'{where}.frequency_file'),
            persistent=False,
        )
        self.learnable = learnable
        self.frequency_file = frequency_file

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse a frequency file about other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        if self.frequency_file is not None:
            key = f'{type(self).__name__}.frequency_file'
            load_class_frequency(self.frequency_file, key, classes)

    def finish(self) -> None:
        """Freeze all layers, those of the subclass too, unless they are to be learned."""
        self.requires_grad_(self.learnable)

    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """Compute one loss, under ``loss_name``."""
        if self.loss_weight == 0:
            return {self.loss_name: self._zero(inputs.features)}
        means, present = self.region_means(inputs)
        # Means are float32; weights in half precision without autocast are not.
        loss = self.region_loss(self.gain(means.to(next(self.gain.parameters()).dtype)), present)
        return {self.loss_name: self.loss_weight * loss}

    def region_means(self, inputs: BranchInputs) -> tuple[Tensor, Tensor]:
        """Average the reduced features of each class: means (G, C, reduced), present (G, C)."""
        settings: dict[str, Any] = dict(ignore_index=inputs.ignore_index, grouping=self.grouping)
        features, labels = inputs.features, inputs.feature_labels
        if features.dim() == 3:  # sampled points as a map of width 1
            features, labels = features.unsqueeze(-1), labels.unsqueeze(-1)
        reduced = self.reduce(features)
        if self.resolution == 'grid' or inputs.labels is None:
            return region_means(reduced, labels, self.num_classes, **settings)
        corners = inputs.align_corners if self.align_corners is None else self.align_corners
        return upsampled_region_means(
            reduced, inputs.labels, self.num_classes, align_corners=corners, **settings
        )

    @abstractmethod
    def region_loss(self, regions: Tensor, present: Tensor) -> Tensor:
        """Compute the loss of projected means (G, C, hidden), of which (G, C) are present."""

    def _zero(self, features: Tensor) -> Tensor:
        """Return a zero with the trained layers in its graph, as DDP expects of every parameter."""
        zero = features.new_zeros((), dtype=torch.float32)
        return sum((0 * p.sum() for p in self.parameters() if p.requires_grad), start=zero)


def image_prior(frequency_file: str | None, num_classes: int, key: str) -> Tensor | None:
    """Return the share of each class among all (image, class) pairs, (C,); None without a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another number of classes, or a class without an image.
    """
    if frequency_file is None:
        return None
    frequency = load_class_frequency(frequency_file, key)
    check_num_classes(frequency, num_classes, key)
    return torch.from_numpy(frequency.prior('images', key=key)).float()
