"""Prototypical supervised contrast of Hybrid-PSC."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_count, check_range
from paco_seg.core.compared.hybrid import prototype_loss

KEY = 'PrototypeContrastLoss'


@MODELS.register_module()
class PrototypeContrastLoss(nn.Module):
    """Contrast of each embedding with learnable class prototypes (arXiv 2103.14267).

    The equation is in :func:`paco_seg.core.compared.hybrid.prototype_loss`; it may be negative.
    The prototypes are parameters of this module. They are normalised where they are used, so
    that weight decay has no effect on the loss.

    Args:
        num_classes: C, >= 2.
        channels: d of the embeddings.
        temperature: > 0; the recipes use 0.1 (CIFAR-100-LT) and 1 (CIFAR-10-LT).
        prototypes_per_class: M; more than one has equal weights.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: int,
        temperature: float = 0.1,
        prototypes_per_class: int = 1,
    ) -> None:
        super().__init__()
        check_count(f'{KEY}.num_classes', num_classes, low=2)
        check_count(f'{KEY}.channels', channels, low=1)
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_count(f'{KEY}.prototypes_per_class', prototypes_per_class, low=1)
        self.temperature = temperature
        # Directions drawn uniformly from the sphere, of length 1: they are normalised when used, so
        # that longer ones would turn more slowly.
        start = torch.randn(num_classes, prototypes_per_class, channels)
        self.prototypes = nn.Parameter(F.normalize(start, dim=-1))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the batch.

        Args:
            embeddings: (N, d) unit rows.
            labels: (N,) integer in [0, C).

        Returns:
            Scalar.
        """
        return prototype_loss(
            embeddings, labels, self.prototypes, temperature=self.temperature
        ).mean()
