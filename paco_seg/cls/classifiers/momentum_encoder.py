"""The slowly moving copy of an encoder that computes PaCo's keys."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from paco_seg.core.checks import check_range

LONGEST = 0.999  # the published momentum, of trainings of 34 000 iterations and more
PASSED = 10  # time constants that pass in a training


def momentum_of(iterations: int) -> float:
    """Return the momentum whose time constant, ``1 / (1 - m)``, passes ten times in a training.

    Example:
        >>> momentum_of(1000), momentum_of(90_000)
        (0.99, 0.999)
    """
    return min(LONGEST, 1 - PASSED / max(iterations, 2 * PASSED))


class MomentumEncoder(nn.Module):
    """Copy of several modules whose parameters follow ``p_k <- m p_k + (1 - m) p_q``.

    Only parameters follow. Buffers are its own after the first update: the running statistics of
    its BatchNorm layers come from its own passes, as in the authors' code. It takes no gradient.

    The first update copies parameters and buffers, whatever was initialised or loaded into either
    side before; so a training may start from a checkpoint that has no momentum encoder. (MMEngine's
    ``ExponentialMovingAverage`` copies the buffers at every update.)

    Args:
        modules: name -> module to follow. Their keys are ``<name>.<key of the module>``.
        momentum: m in [0, 1], the share that stays; 'auto' = 0.999, and less in trainings of fewer
            than 10 000 iterations, so that ten of its time constants pass.

    Attributes:
        updates: scalar int64 buffer, number of updates.

    Raises:
        ValueError: ``momentum`` is out of range.
    """

    updates: Tensor
    # Sharded training keeps such a module whole: see engine/strategies.py.
    follows_parameters = True

    def __init__(self, modules: dict[str, nn.Module], momentum: float | Literal['auto']) -> None:
        super().__init__()
        if momentum != 'auto':
            check_range('model.momentum', momentum, low=0.0, high=1.0)
        self.momentum = momentum
        for name, module in modules.items():
            self.add_module(name, copy.deepcopy(module).requires_grad_(False))
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))
        # Read once: on a device every look at the buffer would make the host wait.
        self._has_copied = False

    @torch.no_grad()
    def update(self, modules: dict[str, nn.Module]) -> None:
        """Follow the modules by one step.

        Args:
            modules: as given to the constructor, with the same structure.
        """
        is_first = not self._has_copied and int(self.updates) == 0
        self._has_copied = True
        self.updates += 1
        mine: list[Tensor] = []
        theirs: list[Tensor] = []
        for name, source in modules.items():
            own = self.get_submodule(name)
            for parameter, other in zip(own.parameters(), source.parameters(), strict=True):
                mine.append(parameter)
                theirs.append(other.detach().to(parameter.dtype))
            if is_first:
                for buffer, given in zip(own.buffers(), source.buffers(), strict=True):
                    buffer.copy_(given)
        # One kernel for many parameters; weight 1 copies.
        torch._foreach_lerp_(mine, theirs, 1.0 if is_first else 1.0 - self.current_momentum())

    def current_momentum(self) -> float:
        """Return m; for 'auto' by the length of the training that runs."""
        if self.momentum != 'auto':
            return self.momentum
        # MMEngine's RuntimeInfoHook writes it before the training.
        iterations = MessageHub.get_current_instance().runtime_info.get('max_iters', 0)
        return momentum_of(iterations) if iterations else LONGEST

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """After loading only the buffer knows whether there has been an update."""
        self._has_copied = False
        super()._load_from_state_dict(*args, **kwargs)
