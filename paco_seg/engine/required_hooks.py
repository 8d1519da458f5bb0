"""Hooks that the parts of a model ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from torch import nn


def register_required_hooks(runner: Runner) -> list[str]:
    """Register the hooks that the model asks for, unless the config has them already.

    A module asks by a class attribute ``required_hooks``, registered names of hooks without
    arguments.

    Args:
        runner: built, but not started.

    Returns:
        Names of the hooks that were added.
    """
    added = sorted(_wanted(runner.model) - {type(hook).__name__ for hook in runner.hooks})
    for name in added:
        runner.register_hook(dict(type=name))
    return added


def prepare_prediction(model: nn.Module, cfg: Mapping[str, Any]) -> None:
    """Let those hooks do to a model without a runner what they do before a test.

    Hooks with something to do have a method ``prepare_prediction(model, cfg)``.

    Args:
        model: with the weights that predict.
        cfg: the config of the model.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for name in sorted(_wanted(model)):
            hook = HOOKS.build(dict(type=name))
            if hasattr(hook, 'prepare_prediction'):
                hook.prepare_prediction(model, cfg)


def _wanted(model: nn.Module) -> set[str]:
    return {name for module in model.modules() for name in getattr(module, 'required_hooks', ())}
