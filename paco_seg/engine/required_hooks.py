"""Hooks that the parts of a model ask for."""

from __future__ import annotations

from mmengine.runner import Runner


def register_required_hooks(runner: Runner) -> list[str]:
    """Register the hooks that the model asks for, unless the config has them already.

    A module asks by a class attribute ``required_hooks``, registered names of hooks without
    arguments.

    Args:
        runner: built, but not started.

    Returns:
        Names of the hooks that were added.
    """
    wanted = {
        name for module in runner.model.modules() for name in getattr(module, 'required_hooks', ())
    }
    added = sorted(wanted - {type(hook).__name__ for hook in runner.hooks})
    for name in added:
        runner.register_hook(dict(type=name))
    return added
