"""The weight of a second loss from gradient norms: it pulls a fixed share as hard as the first."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from paco_seg.core.checks import check_count, check_range
from paco_seg.core.distributed import all_reduce_sum

# Share of a new measurement in the running mean, once there are as many.
RATE = 0.1


class MainTask(NamedTuple):
    """What a second loss is weighed against.

    Args:
        loss: scalar, the loss of the main task.
        features: (B, ...) what both losses are computed from, part of the graph of both.
    """

    loss: Tensor
    features: Tensor


class GradientBalance(nn.Module):
    """Weight by which the gradient of a loss stays at a fixed ratio to that of the main task.

    With g the gradient of the main loss and h that of the second one, both with respect to the
    features that they share, the weight is ``ratio exp(E[log(|g| / |h|)])``. E is a running mean of
    the measurements: their plain mean at first, then an exponential one. GradNorm (Chen et al.,
    ICML 2018, arXiv 1711.02257) balances many tasks by their rates of learning; this is what is
    left for one auxiliary loss, without a loss of its own.

    A measurement goes backward from both losses to the features, no further, and one call in
    ``interval`` measures: for the other calls the weight is a number.

    Several processes measure in the same call, and the norms are those of their joint features:
    the weight is the same on every rank. A measurement that is not finite, or of a loss without
    gradient, is left out.

    Args:
        ratio: of the norms, > 0.
        interval: calls from one measurement to the next, >= 1.
        key: config key of the loss, for messages.

    Attributes:
        log_quotient: scalar float32 buffer, the running mean of log(|g| / |h|).
        measured: scalar int64 buffer, measurements so far.

    Raises:
        ValueError: a setting is out of range.
    """

    log_quotient: Tensor
    measured: Tensor

    def __init__(
        self, ratio: float = 1.0, interval: int = 10, key: str = 'GradientBalance'
    ) -> None:
        super().__init__()
        check_range(f'{key}.gradient_ratio', ratio, low=0.0, low_open=True)
        check_count(f'{key}.interval', interval, low=1)
        self.key = key
        self.ratio = ratio
        self.interval = interval
        self.register_buffer('log_quotient', torch.zeros(()))
        self.register_buffer('measured', torch.zeros((), dtype=torch.long))

    def forward(self, loss: Tensor, main: MainTask, step: int) -> Tensor:
        """Return the weight of ``loss`` in this step, a scalar without gradient.

        Args:
            loss: scalar, the second loss without a weight.
            main: the main loss and the shared features.
            step: number of the training step, the same on every rank; it decides who measures.

        Raises:
            ValueError: a loss does not depend on the features, nothing below them is trained, or
                features and losses are results of one compiled graph.
        """
        if self.training and torch.is_grad_enabled() and step % self.interval == 0:
            self._measure(loss, main)
        return self.weight()

    def weight(self) -> Tensor:
        """Return the weight as measured so far, a scalar; the ratio before any measurement."""
        return self.ratio * self.log_quotient.exp()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _measure(self, loss: Tensor, main: MainTask) -> None:
        norms = torch.stack([self._squared_norm(part, main.features) for part in (main.loss, loss)])
        # The norm of what all ranks have together.
        squares = all_reduce_sum(norms)
        quotient = 0.5 * (squares[0].log() - squares[1].log())
        usable = quotient.isfinite()
        rate = (1.0 / (self.measured + 1.0)).clamp(min=RATE)
        moved = self.log_quotient + rate * (quotient - self.log_quotient)
        self.log_quotient.copy_(torch.where(usable, moved, self.log_quotient))
        self.measured.add_(usable)

    def _squared_norm(self, loss: Tensor, features: Tensor) -> Tensor:
        """Return the squared norm of the gradient of a loss at the features, in float32."""
        gradient = None
        if features.requires_grad and loss.requires_grad:
            # The loss is a mean over pixels, and half precision would lose the gradient of one of
            # them: it is brought to the order of one, whatever scale the optimizer uses.
            scale = features.numel() // max(features.shape[1], 1)
            (gradient,) = torch.autograd.grad(
                loss * scale, [features], retain_graph=True, allow_unused=True
            )
        if gradient is None:
            raise ValueError(
                f"{self.key}.loss_weight: expected a number where 'auto' has no gradients to "
                'compare (a loss does not depend on the features that the head classifies, '
                'nothing below them is trained, or torch.compile hides the way between them), '
                "got 'auto'. Take 0.1 or 1"
            )
        return gradient.float().square().sum()
