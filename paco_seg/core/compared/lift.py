"""LIFT: light fine-tuning of a frozen transformer, whose classifier starts from class vectors.

Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts, ICML 2024 (arXiv
2309.10019). The adapters are those of AdaptFormer (Chen et al., NeurIPS 2022, arXiv 2205.13535).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paco_seg.core.checks import (
    check_count,
    check_integer,
    check_labels,
    check_shape,
)
from paco_seg.core.distributed import all_reduce_sum


def adapter_width(num_classes: int, num_layers: int) -> int:
    """Return the width of the adapters, ``2^max(0, floor(log2(C / (2 L))))``.

    With it all adapters together have about as many parameters as the classifier at most.

    Args:
        num_classes: C.
        num_layers: L, blocks of the transformer.

    Returns:
        A power of two; 4 for 100 classes and 12 blocks, 32 for 1000.

    Raises:
        ValueError: a number is below 1.
    """
    check_count('num_classes', num_classes, low=1)
    check_count('num_layers', num_layers, low=1)
    # Integers throughout: the floor of the logarithm is the place of the highest bit.
    return 1 << max(0, (num_classes // (2 * num_layers)).bit_length() - 1)


class ResidualAdapter(nn.Module):
    """``s * Up(ReLU(Down(LayerNorm(x))))``, to be added to what a block makes of x.

    Up starts at zero, so that the block is what it was before. The scale s is learned and starts
    at 1.

    Args:
        channels: D of the tokens.
        width: of the bottleneck, >= 1.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        check_count('channels', channels, low=1)
        check_count('adapter_width', width, low=1)
        self.norm = nn.LayerNorm(channels)
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)
        self.scale = nn.Parameter(torch.ones(()))
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return what is added, (..., D) for tokens (..., D)."""
        added: Tensor = self.scale * self.up(F.relu(self.down(self.norm(tokens))))
        return added


class ClassMeans:
    """Means of the unit features of every class, over the batches of all ranks.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._sums: Tensor | None = None
        self._counts: Tensor | None = None

    @torch.no_grad()
    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add features (n, D) with labels (n,) of this rank, in float64.

        Raises:
            ShapeError: the shapes do not fit each other.
            TypeError: labels are not integers.
            ValueError: a label is no class.
        """
        check_shape('features', features, ('n', 'D'))
        check_shape('labels', labels, (len(features),))
        check_integer('labels', labels)
        check_labels('labels', labels, self.num_classes)
        rows, labels = F.normalize(features.double(), dim=1), labels.long()
        if self._sums is None or self._counts is None:
            self._sums = rows.new_zeros(self.num_classes, rows.shape[1])
            self._counts = rows.new_zeros(self.num_classes)
        self._sums.index_add_(0, labels, rows)
        self._counts.index_add_(0, labels, torch.ones_like(rows[:, 0]))

    def directions(self) -> tuple[Tensor, Tensor]:
        """Return unit rows (C, D) in float64, and which classes have images, (C,) bool.

        Every rank calls it, once, after at least one :meth:`add`.

        Raises:
            ValueError: nothing was added.
        """
        if self._sums is None or self._counts is None:
            raise ValueError('ClassMeans: expected features before the directions, got none')
        sums, counts = all_reduce_sum(self._sums), all_reduce_sum(self._counts)
        return F.normalize(sums, dim=1), counts > 0
