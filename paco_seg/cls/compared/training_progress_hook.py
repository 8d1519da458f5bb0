"""Tells the model how far the training is."""

from __future__ import annotations

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS

from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.rng import is_endless


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Calls ``set_progress(epoch, max_epochs)`` of every part of the model that has it.

    For losses that change with the epoch: the curriculum of :class:`HybridClsHead`, the deferred
    re-weighting of :class:`LDAMLoss`. The epoch is that of the loop, from 0, and therefore right
    after a resume; a loop by iterations gives fractions, ``iteration / iterations per epoch``.

    Example:
        >>> custom_hooks = [dict(type='TrainingProgressHook')]
    """

    def before_train(self, runner: Runner) -> None:
        """Refuse settings that do not fit the length of the training, before the first step."""
        self._find(runner)
        self._tell(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        """Tell the epoch, also a loss that came with this one (``SwitchRecipeHook``)."""
        if batch_idx == 0:
            self._find(runner)
        self._tell(runner)

    def _find(self, runner: Runner) -> None:
        model = bare_model(runner.model)
        self._parts = [part for part in model.modules() if hasattr(part, 'set_progress')]

    def _tell(self, runner: Runner) -> None:
        epoch, max_epochs = runner.epoch, runner.max_epochs
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            length = len(runner.train_dataloader)
            if is_endless(runner.train_dataloader):  # its length is that of all processes
                length /= get_world_size()
            epoch, max_epochs = runner.iter / length, runner.max_iters / length
        for part in self._parts:
            part.set_progress(epoch, max_epochs)
