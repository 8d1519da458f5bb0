"""Losses beside cross entropy of which one pixel alone has no value."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from paco_seg.core.checks import check_range
from paco_seg.seg.losses.loss_name import check_loss_name


class UnweightedLoss(nn.Module):
    """A loss of all pixels of a rank together, which takes no weights of pixels.

    Args:
        loss_weight: factor of the loss, >= 0.
        loss_name: key of the loss in the log.

    Raises:
        ValueError: a setting is out of range.
    """

    over: str  # what the loss is a mean over, for the message about weights

    def __init__(self, *, loss_weight: float, loss_name: str) -> None:
        super().__init__()
        key = type(self).__name__
        check_range(f'{key}.loss_weight', loss_weight, low=0.0)
        check_loss_name(f'{key}.loss_name', loss_name)
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    @abstractmethod
    def batch_value(self, cls_score: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        """Return the loss of a batch, a scalar."""

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> Tensor:
        """Return the loss of raw logits (N, C, ...) and labels (N, ...).

        Args:
            cls_score: (N, C, ...).
            label: (N, ...) int64.
            weight: factors of the pixels: none.
            ignore_index: label of pixels without a loss.
            **kwargs: what heads pass to the losses of others.

        Raises:
            ValueError: there are weights.
        """
        if weight is not None:
            raise ValueError(
                f'sampler: expected none beside {type(self).__name__}, which is one of '
                f'{self.over}, got one that weights pixels. Remove it'
            )
        return self.loss_weight * self.batch_value(cls_score, label, ignore_index)

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'loss_weight={self.loss_weight}'
