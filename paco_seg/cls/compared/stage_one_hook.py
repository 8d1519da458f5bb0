"""Lets a training of stage two go on without the file of stage one."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from paco_seg.cls.compared.frozen_feature_classifier import FrozenFeatureClassifier


@HOOKS.register_module()
class StageOneHook(Hook):
    """Leaves ``stage_one`` of a :class:`FrozenFeatureClassifier` aside when a training is resumed.

    The checkpoint that is resumed has all weights (CheckpointMatchHook asks for them), and the
    file of stage one may be gone by then. ``paco-seg train`` adds the hook where the classifier
    asks for it.

    Example:
        >>> custom_hooks = [dict(type='StageOneHook')]
    """

    def before_run(self, runner: Runner) -> None:
        """Decide; the model is initialised next, in a training."""
        # Without a path MMEngine looks for a checkpoint later, and may find none.
        if runner._resume and runner._load_from is not None:
            for module in runner.model.modules():
                if isinstance(module, FrozenFeatureClassifier):
                    module.stage_one = None

    def before_init_weights(self, runner: Runner) -> None:
        """Decide in :class:`StagedFlexibleRunner`, which initialises ahead of all else."""
        self.before_run(runner)
