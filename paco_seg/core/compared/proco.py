"""Probabilistic contrastive learning: contrast with class distributions instead of samples.

Du et al., Probabilistic Contrastive Learning for Long-Tailed Visual Recognition, TPAMI 2024 (arXiv
2403.06726). The unit embeddings of a class follow a von Mises-Fisher distribution (vMF), whose
parameters come from running means; the expected contrast with infinitely many samples of every
class then has a closed form in the modified Bessel function I of the first kind.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from paco_seg.core.checks import (
    check_count,
    check_integer,
    check_labels,
    check_range,
    check_shape,
    compute_dtype,
)
from paco_seg.core.distributed import joined_rows

MAX_CONCENTRATION = 1e5  # of a class whose embeddings are equal, as released
INITIAL_LENGTH = 0.9  # of the mean of a class that no image has told anything about, as released
# The uniform expansion for large orders is used from this order on, with so many corrections:
# its error in the logarithm is below 1e-10 there, and smaller orders follow by recurrence.
_MIN_ORDER = 24.0
_CORRECTIONS = 7


def _debye_polynomials() -> list[list[float]]:
    """Coefficients of the polynomials u_1, u_2, ... (Abramowitz and Stegun, 9.3.10)."""
    polynomial = np.polynomial.Polynomial
    weight, inner = polynomial([0, 0, 0.5, 0, -0.5]), polynomial([0.125, 0, -0.625])
    current, found = polynomial([1.0]), []
    for _ in range(_CORRECTIONS):
        current = weight * current.deriv() + (inner * current).integ()
        found.append(current.coef.tolist())
    return found


_DEBYE = _debye_polynomials()


def concentration(mean_length: Tensor, channels: int, *, released: bool = False) -> Tensor:
    """Return the concentration kappa of a vMF distribution, by the estimate from its mean.

    ``kappa = R (p - R^2) / (1 - R^2)``, between 0 and 1e5.

    Args:
        mean_length: R, any shape; length of the mean of unit vectors, in [0, 1] up to rounding.
        channels: p, dimension of the vectors.
        released: True gives what the published code computes, ``p R / (1 - R^2)``.

    Returns:
        Like ``mean_length``.
    """
    square = mean_length**2
    numerator = mean_length * channels if released else mean_length * (channels - square)
    kappa = numerator / (1.0 - square).clamp(min=torch.finfo(square.dtype).tiny)
    return kappa.clamp(0.0, MAX_CONCENTRATION)


def log_scaled_bessel(order: float, square: Tensor) -> Tensor:
    """Return ``log(I_v(x) x^-v)`` for the square of x, an even function of x without a pole at 0.

    From the uniform expansion for large orders (Abramowitz and Stegun, 9.7.7) and, for small
    orders, the recurrence ``I_(v-1) = I_(v+1) + 2 v / x I_v`` downwards, whose terms are positive:
    no scale to lose, where I itself leaves the range of float64 from orders of a few hundred on.

    Args:
        order: v >= 0.
        square: x^2 >= 0, any shape; computed in float64.

    Returns:
        Float64, like ``square``. The gradient is ``I_(v+1)(x) / (2 x I_v(x))``, between 0 and
        1 / (4 v + 4).

    Raises:
        ValueError: the order is negative.
    """
    check_range('order', order, low=0.0)
    value: Tensor = _LogScaledBessel.apply(square.double(), order)
    return value


def vmf_logits(
    embeddings: Tensor, directions: Tensor, concentrations: Tensor, *, temperature: float
) -> Tensor:
    """Return the expected contrast of every embedding with every class.

    ``log E exp(z . v / T)`` over the vMF distribution of v with direction mu_c and concentration
    kappa_c. With ``v = p / 2 - 1`` and ``k = |kappa_c mu_c + z / T|`` it is the difference of
    ``log(I_v(x) x^-v)`` at k and at kappa_c. Since ``k^2 = kappa_c^2 + 1 / T^2 + 2 kappa_c z . mu_c
    / T``, nothing of size N x C x p is formed. A large kappa gives ``z . mu_c / T``, kappa = 0 the
    same value for every class.

    Args:
        embeddings: (N, p) unit rows, p >= 2.
        directions: (C, p) unit rows, or 0 where kappa is 0.
        concentrations: (C,) kappa >= 0. No gradient flows to directions and concentrations.
        temperature: T > 0.

    Returns:
        (N, C) float32 (float64 for float64 input); the Bessel functions are in float64.

    Raises:
        ShapeError: a tensor has another shape.
        ValueError: the temperature is not positive.
    """
    check_range('temperature', temperature, low=0.0, low_open=True)
    check_shape('embeddings', embeddings, ('N', 'p'))
    check_shape('directions', directions, ('C', embeddings.shape[1]))
    check_shape('concentrations', concentrations, (directions.shape[0],))
    dtype = compute_dtype(embeddings)
    order = embeddings.shape[1] / 2 - 1
    kappa = concentrations.detach().double()
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        cosines = F.linear(embeddings.to(dtype), directions.detach().to(dtype)).double()
        # Rounding may leave a square below 0 where z = -mu and kappa = 1 / T.
        square = kappa**2 + 1.0 / temperature**2 + 2.0 * kappa * cosines / temperature
        logits = log_scaled_bessel(order, square.clamp(min=0.0))
        return (logits - log_scaled_bessel(order, kappa**2)).to(dtype)


class VMFMoments(nn.Module):
    """Running means of the unit embeddings of every class; what a vMF distribution is made of.

    Two sets of means take the embeddings of all ranks. The first is in use. The second starts anew
    with every epoch and becomes the first at the end of it, so that the means in use cover the last
    epoch and the current one. A class without images in an epoch keeps what it had.

    All is in buffers, the epoch as well: a resumed training goes on exactly. A row that is not
    finite (a step that overflows in half precision) is left out.

    Args:
        num_classes: C.
        channels: p >= 2, dimension of the embeddings.

    Attributes:
        means: (2, C, p) float32 buffer; the means in use and those of this epoch.
        counts: (2, C) int64 buffer, rows in each mean; without any, the mean is a random direction
            times 0.9, as released.
        epoch: scalar int64 buffer, the epoch that the means have seen last; -1 before the first.

    Raises:
        TypeError: a number is no integer.
        ValueError: ``num_classes`` is below 1, or ``channels`` below 2.
    """

    means: Tensor
    counts: Tensor
    epoch: Tensor

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        check_count('num_classes', num_classes, low=1)
        check_count('channels', channels, low=2)
        # Not from the seed of the process, which may be another one on every rank.
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(num_classes, channels, generator=generator)
        start = INITIAL_LENGTH * F.normalize(start, dim=1)
        self.register_buffer('means', start.repeat(2, 1, 1))
        self.register_buffer('counts', torch.zeros(2, num_classes, dtype=torch.long))
        self.register_buffer('epoch', torch.full((), -1, dtype=torch.long))
        self._epoch = -1  # the same for the host, which need not wait for a device to tell

    def start_epoch(self, epoch: int) -> None:
        """Exchange the means if the epoch is a new one; call it ahead of every step."""
        if epoch == self._epoch:
            return
        if self._epoch >= 0:
            seen = self.counts[1] > 0
            self.means[0] = torch.where(seen.unsqueeze(1), self.means[1], self.means[0])
            self.counts[0] = torch.where(seen, self.counts[1], self.counts[0])
            self.counts[1] = 0
        self._epoch = epoch
        self.epoch.fill_(epoch)

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """Add the embeddings of all ranks to both sets of means.

        Args:
            embeddings: (n, p) unit rows of this rank.
            labels: (n,) integer in [0, C).

        Raises:
            ShapeError: the shapes do not fit.
            TypeError: labels are not integers.
            ValueError: a label is no class.
        """
        num_classes, channels = self.means.shape[1:]
        check_shape('embeddings', embeddings, ('n', channels))
        check_shape('labels', labels, (len(embeddings),))
        check_integer('labels', labels)
        check_labels('labels', labels, num_classes)
        rows, classes = joined_rows(embeddings.detach().to(self.means), labels.to(self.counts))
        finite = rows.isfinite().all(dim=1)
        rows = rows.masked_fill(~finite.unsqueeze(1), 0.0)
        added = self.counts.new_zeros(num_classes).index_add(0, classes, finite.to(self.counts))
        sums = torch.zeros_like(self.means[0]).index_add(0, classes, rows)
        total = self.counts + added
        # m + (sum - n m) / N: what a class without new rows has stays bit for bit.
        step = sums - added.unsqueeze(1) * self.means
        self.means += step / total.clamp(min=1).unsqueeze(2)
        self.counts += added

    def distributions(self) -> tuple[Tensor, Tensor]:
        """Return directions (C, p), unit rows, and concentrations (C,) of the means in use."""
        mean = self.means[0]
        length = mean.norm(dim=1)
        return F.normalize(mean, dim=1), concentration(length, mean.shape[1])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if f'{prefix}epoch' in state_dict and not self.epoch.is_meta:
            self._epoch = int(self.epoch)


class _LogScaledBessel(torch.autograd.Function):
    """Forward and derivative by the square, from one pass."""

    @staticmethod
    def forward(ctx: Any, square: Tensor, order: float) -> Tensor:
        steps = max(math.ceil(_MIN_ORDER - order), 0)
        high = order + steps
        value = _large_order(high, square)
        # r = J_(v+1) / J_v with J_v = I_v(x) x^-v, for which J_(v-1) = x^2 J_(v+1) + 2 v J_v.
        ratio = (_large_order(high + 1, square) - value).exp()
        for step in range(steps):
            factor = 2.0 * (high - step) + square * ratio
            value = value + factor.log()
            ratio = 1.0 / factor
        ctx.save_for_backward(ratio)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (ratio,) = ctx.saved_tensors  # I_(v+1)(x) / (x I_v(x))
        return 0.5 * grad * ratio, None


def _large_order(order: float, square: Tensor) -> Tensor:
    """Return ``log(I_v(x) x^-v)`` by the uniform expansion, free of its pole at x = 0."""
    root = (order**2 + square).sqrt()
    cosine = order / root
    series = torch.zeros_like(root)
    for polynomial in reversed(_DEBYE):
        value = torch.zeros_like(root)
        for coefficient in reversed(polynomial):
            value = value * cosine + coefficient
        series = (series + value) / order
    value = root - order * (order + root).log() - 0.5 * (2.0 * math.pi * root).log()
    return value + torch.log1p(series)
