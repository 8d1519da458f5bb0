"""Refuses pretrained weights of which nothing fits."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.utils.hooks import RemovableHandle

from paco_seg.engine.bare_model import bare_model


@HOOKS.register_module()
class PretrainedFitHook(Hook):
    """Watches the loading of ``init_cfg=dict(type='Pretrained', ...)``.

    MMEngine loads what fits and reports the rest in the log: of a file for another network that is
    everything, and the training starts from random weights. At least one tensor of such a module
    must fit by name and shape; a partial fit is fine (another classifier, another input size).

    The watch stands where every way of loading passes, in the module itself: some backbones rename
    the entries of a file first and load it themselves.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def before_run(self, runner: Runner) -> None:
        """Start watching; the model is initialised next, in a training."""
        self._stop()
        model = bare_model(runner.model)
        for name, module in model.named_modules():
            source = _pretrained(getattr(module, 'init_cfg', None))
            if source is not None:
                self._handles.append(_watch(module, f'model.{name}' if name else 'model', source))

    def before_init_weights(self, runner: Runner) -> None:
        """Start watching in :class:`StagedFlexibleRunner`, which initialises ahead of all else."""
        self.before_run(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Stop watching: ``load_from`` and ``resume`` are checked by CheckpointMatchHook."""
        self._stop()

    def before_train(self, runner: Runner) -> None:
        """Stop watching: the model is initialised."""
        self._stop()

    def _stop(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def _pretrained(init_cfg: Any) -> str | None:
    """The file that an ``init_cfg`` loads, if any."""
    for config in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if isinstance(config, dict) and config.get('type') in ('Pretrained', PretrainedInit):
            return str(config.get('checkpoint'))
    return None


def _watch(module: nn.Module, key: str, source: str) -> RemovableHandle:
    def check(module: nn.Module, state: dict, prefix: str, *_: Any) -> None:
        if prefix:  # the file of a module around this one
            return
        own = {name: value.shape for name, value in module.state_dict().items()}
        if own and not any(
            name in state and getattr(state[name], 'shape', None) == shape
            for name, shape in own.items()
        ):
            names = list(state)
            raise ValueError(
                f'{key}.init_cfg.checkpoint: expected weights of {type(module).__name__} '
                f'({", ".join(list(own)[:3])}, ...), got {source!r}, of which none fits by name '
                f'and shape ({", ".join(map(str, names[:3]))}, ...). Set another file, its prefix '
                "(init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')), or "
                'init_cfg=None to start from random weights'
            )

    return module.register_load_state_dict_pre_hook(check)
