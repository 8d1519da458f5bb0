"""The slowly moving copy of an encoder that computes PaCo's keys."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from paco_seg.core.checks import check_range


class MomentumEncoder(nn.Module):
    """Copy of several modules whose parameters follow ``p_k <- m p_k + (1 - m) p_q``.

    Only parameters follow. Buffers are its own after the first update: the running statistics of
    its BatchNorm layers come from its own passes, as in the authors' code. It takes no gradient.

    The first update copies parameters and buffers, whatever was initialised or loaded into either
    side before; so a training may start from a checkpoint that has no momentum encoder. (MMEngine's
    ``ExponentialMovingAverage`` copies the buffers at every update.)

    Args:
        modules: name -> module to follow. Their keys are ``<name>.<key of the module>``.
        momentum: m in [0, 1], the share that stays.

    Attributes:
        updates: scalar int64 buffer, number of updates.

    Raises:
        ValueError: ``momentum`` is out of range.
    """

    updates: Tensor
    # Sharded training keeps such a module whole: see engine/strategies.py.
    follows_parameters = True

    def __init__(self, modules: dict[str, nn.Module], momentum: float) -> None:
        super().__init__()
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
        torch._foreach_lerp_(mine, theirs, 1.0 if is_first else 1.0 - self.momentum)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """After loading only the buffer knows whether there has been an update."""
        self._has_copied = False
        super()._load_from_state_dict(*args, **kwargs)
