"""The contract between a decode head and its training-only branches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from paco_seg.core.gradient_balance import MainTask
from paco_seg.seg.heads.feature_taps import TappedFeatures

# Label of ignored pixels where that of the head is taken; PyTorch's own ignore_index.
IGNORED = -100


@dataclass
class BranchInputs:
    """What a branch sees of one training step.

    An ``ignore_index`` that is also a class, or -1, is replaced by -100 together with its labels:
    what the stock losses leave out is then no class for any branch either, and -1 stays the label
    of empty queue slots. None, MMSegmentation's word for a binary head that ignores no label,
    becomes -100 too, with all labels that are no class.

    Attributes:
        features: (B, D, h, w) feature map before dropout and classifier; (B, D, P) for a head
            that works on P sampled points.
        logits: (B, C, h, w) or (B, C, P), one logit per class, sharing the graph of the stock
            losses (and the same dropout mask).
        feature_labels: (B, h, w) or (B, P) int64 labels on the grid of the features, nearest.
        labels: (B, H, W) int64 ground truth in full; None for sampled points.
        ignore_index: label that is not a class; None on the way in is said above.
        align_corners: how the head resizes maps.
        stock_losses: losses of the head without its branches, as in the log.
    """

    features: Tensor
    logits: Tensor
    feature_labels: Tensor
    labels: Tensor | None
    ignore_index: int
    align_corners: bool = False
    stock_losses: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give ignored pixels a label of their own."""
        former: int | None = self.ignore_index
        num_classes = self.logits.shape[1]
        if former is None or -1 <= former < num_classes:
            self.ignore_index = IGNORED
            self.feature_labels = _relabelled(self.feature_labels, former, num_classes)
            if self.labels is not None:
                self.labels = _relabelled(self.labels, former, num_classes)

    def main_task(self) -> MainTask | None:
        """Return the sum of the head's own losses, and the features; None without a loss."""
        # MMEngine sums what has this word in its name.
        losses = [
            part.mean()
            for name, value in self.stock_losses.items()
            if 'loss' in name
            for part in (value if isinstance(value, (list, tuple)) else [value])
        ]
        return MainTask(torch.stack(losses).sum(), self.features) if losses else None

    @classmethod
    def from_tap(
        cls,
        tap: TappedFeatures,
        samples: list,
        ignore_index: int,
        align_corners: bool = False,
    ) -> BranchInputs:
        """Bring features, logits and labels to one grid and one logit per class."""
        logits = tap.logits
        if logits.shape[1] == 1:
            # sigmoid(x) is the softmax of (0, x): background and foreground as two classes.
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        if tap.labels is not None:
            return cls(tap.features, logits, tap.labels, None, ignore_index, align_corners)
        size = tap.features.shape[2:]
        if logits.shape[2:] != size:
            logits = F.interpolate(logits, size=size, mode='bilinear', align_corners=False)
        labels = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in samples]).long()
        # Nearest in float32 is exact for class indices, and picks the pixel that the released
        # code picks.
        on_grid = F.interpolate(labels.unsqueeze(1).float(), size=size, mode='nearest')
        on_grid = on_grid.squeeze(1).long()
        return cls(tap.features, logits, on_grid, labels, ignore_index, align_corners)


def _relabelled(labels: Tensor, former: int | None, num_classes: int) -> Tensor:
    labels = labels.long()  # uint8 has no -100
    if former is None:
        return labels.masked_fill((labels < 0) | (labels >= num_classes), IGNORED)
    return labels.masked_fill(labels == former, IGNORED)


class TrainingBranch(BaseModule):
    """Base of modules that add losses to a decode head in training and vanish at inference.

    The head passes ``in_channels``, ``num_classes`` and its ``norm_cfg`` as default arguments.
    """

    def finish(self) -> None:
        """Do what has to wait for all layers; the head calls it on every branch it has built."""

    @abstractmethod
    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """Compute the losses, keyed as in the log (keys with ``loss`` are summed)."""
