"""Stops a training that has diverged."""

from __future__ import annotations

import logging
import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from paco_seg.engine.divergence import DivergedTrainingError


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Ends the training after so many losses in a row that are infinite or NaN.

    A single one may come from a broken sample, and a step that mixed precision skips because its
    gradients overflow has a finite loss: neither counts. Reading the loss costs nothing here,
    since MMEngine reads it in every iteration for its log.

    Args:
        patience: losses in a row that end the training, at least 1.

    Example:
        >>> custom_hooks = [dict(type='NonFiniteLossHook', patience=20)]
    """

    # Ahead of the hook that writes checkpoints.
    priority = 'NORMAL'

    def __init__(self, patience: int = 20) -> None:
        if not isinstance(patience, int) or isinstance(patience, bool) or patience < 1:
            raise ValueError(
                f'NonFiniteLossHook.patience: expected an integer >= 1, got {patience!r}. It is '
                'the number of non-finite losses in a row that end the training'
            )
        self.patience = patience
        self.found = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count; MMEngine calls it with the losses of the step.

        Raises:
            DivergedTrainingError: the last ``patience`` losses were not finite.
        """
        losses = {
            name: float(value.detach() if isinstance(value, Tensor) else value)
            for name, value in (outputs or {}).items()
            if 'loss' in name and getattr(value, 'numel', lambda: 1)() == 1
        }
        wrong = {name: value for name, value in losses.items() if not math.isfinite(value)}
        if not wrong:
            self.found = 0
            return
        self.found += 1
        if self.found == 1:
            print_log(f'iteration {runner.iter + 1}: {_listing(wrong)}', 'current', logging.WARNING)
        if self.found >= self.patience:
            raise DivergedTrainingError.at(
                runner, f'{self.found} non-finite in a row ({_listing(wrong)})'
            )


def _listing(losses: dict[str, float]) -> str:
    return ', '.join(f'{name} {value}' for name, value in losses.items())
