"""Refuses an epoch that is longer in one process than in another."""

from __future__ import annotations

import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import IterableDataset


@HOOKS.register_module()
class LoaderLengthHook(Hook):
    """Compares the steps per epoch of all processes before the first step.

    Processes wait for each other in every step: one that has a batch less leaves the others
    waiting for half an hour, until the timeout. An iteration-based loop draws anew and has none.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Compare; every process raises, so that none is left waiting.

        Raises:
            ValueError: lists the lengths by rank.
        """
        if get_world_size() == 1 or not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        if isinstance(runner.train_dataloader.dataset, IterableDataset):
            return  # it has no length
        steps = torch.tensor(len(runner.train_dataloader))
        lengths = [int(length) for length in all_gather(steps)]
        if len(set(lengths)) > 1:
            raise ValueError(
                'train_dataloader: expected equally many steps per epoch in every process, got '
                f'{", ".join(map(str, lengths))} (by rank). Set sampler.round_up=True (its '
                'default), or drop_last=True'
            )
