"""A training whose numbers no step brings back."""

from __future__ import annotations

import torch
from mmengine.runner import Runner

from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.resume import last_written, resumed_from


class DivergedTrainingError(ValueError):
    """Losses or weights are not finite any more; the message names the last good checkpoint."""

    @classmethod
    def at(cls, runner: Runner, what: str) -> DivergedTrainingError:
        """Build the error.

        Args:
            runner: the training.
            what: what was found, such as ``'20 losses in a row'``.
        """
        last, resumed = last_written(runner), resumed_from(runner)
        if last is not None:
            start = (
                f'The last good checkpoint is kept: {last}. Start from its weights (load_from, for '
                '--resume keeps the learning rate), or anew,'
            )
        elif resumed:
            start = (
                f'Start from the weights of {resumed} (load_from, for --resume keeps the learning '
                'rate), or anew,'
            )
        else:
            start = 'No checkpoint was written yet. Start again'
        return cls(
            f'training: expected finite losses and weights, got {what} at iteration '
            f'{runner.iter + 1}. {start} with a smaller optim_wrapper.optimizer.lr, a warm-up or '
            'clipped gradients (optim_wrapper.clip_grad)'
        )


def check_weights_are_finite(runner: Runner) -> None:
    """Refuse weights that no training recovers from.

    Buffers may hold an infinity (the prior of a class that never occurs), but no NaN.

    Raises:
        DivergedTrainingError: names the first such tensor and the last good checkpoint.
    """
    model = bare_model(runner.model)
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise DivergedTrainingError.at(runner, f'infinite or NaN values in {name}')
    for name, value in model.named_buffers():
        if value.is_floating_point() and torch.isnan(value).any():
            raise DivergedTrainingError.at(runner, f'NaN values in {name}')
