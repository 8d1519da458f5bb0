"""Resume in the middle of a gradient accumulation."""

from __future__ import annotations

import logging

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from paco_seg.engine.bare_model import bare_model

# Key of a checkpoint; MMEngine and other readers pass over it.
KEY = 'accumulated_gradients'


@HOOKS.register_module()
class AccumulatedGradientHook(Hook):
    """Keeps the gradients of a step that spans several iterations in the checkpoint.

    With ``optim_wrapper.accumulative_counts > 1`` a checkpoint may lie between two updates of the
    weights. MMEngine drops the gradients gathered so far, and says so when it resumes. Here they
    are saved and put back, so that the resumed run equals the uninterrupted one. With several
    processes each gathers its own, of which one checkpoint cannot hold all: one line says so.
    """

    priority = 'NORMAL'

    def __init__(self) -> None:
        self._saved: dict[str, torch.Tensor] = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the gradients if the checkpoint lies inside an accumulation and can be resumed."""
        if runner.world_size > 1 or 'optimizer' not in checkpoint or not _is_inside(runner):
            return
        checkpoint[KEY] = {
            name: parameter.grad.cpu()
            for name, parameter in bare_model(runner.model).named_parameters()
            if parameter.grad is not None
        }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the gradients of a checkpoint that is resumed."""
        found = checkpoint.pop(KEY, None)
        if runner.cfg.get('resume') and isinstance(found, dict):
            self._saved = found

    def before_train(self, runner: Runner) -> None:
        """Put the gradients back.

        Raises:
            ValueError: they are not those of this model.
        """
        if not _is_inside(runner) or runner.iter == 0:
            return
        saved, self._saved = self._saved, {}
        if runner.world_size > 1 or not saved:
            print_log(
                f'resume: iteration {runner.iter} lies inside an accumulation of '
                f'{_counts(runner)} gradients (optim_wrapper.accumulative_counts): those before '
                'it are lost and the run is not exactly the uninterrupted one. Write checkpoints '
                'at multiples of it',
                'current',
                logging.WARNING,
            )
            return
        parameters = dict(bare_model(runner.model).named_parameters())
        for name, gradient in saved.items():
            if name not in parameters or getattr(gradient, 'shape', None) != parameters[name].shape:
                raise ValueError(
                    f'checkpoint: {KEY}: expected the gradients of this model, got {name!r}. '
                    'Resume from a checkpoint at a multiple of optim_wrapper.accumulative_counts'
                )
            parameters[name].grad = gradient.to(parameters[name])
        print_log(f'resume: {len(saved)} gradients of the open accumulation are back', 'current')


def _counts(runner: Runner) -> int:
    wrapper = runner.optim_wrapper
    return getattr(wrapper, '_accumulative_counts', 1) if isinstance(wrapper, OptimWrapper) else 1


def _is_inside(runner: Runner) -> bool:
    wrapper = runner.optim_wrapper
    return _counts(runner) > 1 and not wrapper.should_update()
