"""Training-only branches around any decode head.

``BranchDecodeHead(base_type='PSPHead', ...)`` builds an instance of a class generated once per
base head, a subclass of both. The stock forward, losses, weights and state-dict keys stay what
they are; inside ``loss()`` the branches receive the features and logits that the stock forward
produced anyway. At inference no branch runs.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.seg.heads.feature_taps import TappedFeatures, tap_for
from paco_seg.seg.heads.training_branch import BranchInputs


@MODELS.register_module()
class BranchDecodeHead:
    """A decode head with training-only branches.

    Args:
        base_type: name of a registered decode head; all further arguments are its own.
        training_branches: name -> config of a :class:`TrainingBranch`. Parameters live under
            ``training_branches.<name>``, losses are added to those of the base head.

    Raises:
        ValueError: ``base_type`` is missing, unknown, or a head that cannot work (with the
            reason).

    Example:
        >>> decode_head = dict(
        ...     type='BranchDecodeHead',
        ...     base_type='PSPHead',
        ...     training_branches=dict(gpaco=dict(type='GPaCoBranch')))
    """

    branch_modules: tuple[str, ...] = ('training_branches',)

    def __new__(cls, *args: Any, base_type: str | None = None, **kwargs: Any) -> Any:
        """Create an instance of the generated subclass; ``__init__`` then runs on it."""
        generated = cls if issubclass(cls, nn.Module) else branch_head_class(cls, base_type)
        return object.__new__(generated)

    def __init__(
        self,
        *,
        base_type: str | None = None,
        training_branches: dict[str, dict] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        defaults = dict(
            in_channels=self.tap_channels,
            # One logit with a sigmoid separates two classes.
            num_classes=2 if self.out_channels == 1 else self.num_classes,
            norm_cfg=getattr(self, 'norm_cfg', None),
        )
        wanted = dict(training_branches or {})
        if wanted:
            wanted = {**self.tap_branches(), **wanted}
        with own_random_numbers():
            built: dict[str, Any] = {
                name: MODELS.build(branch, default_args=defaults) for name, branch in wanted.items()
            }
        for branch in built.values():
            branch.finish()
        self.training_branches = nn.ModuleDict(built)

    def init_weights(self) -> None:
        """Initialise the branches, and the base head as if there were none."""
        branches: list[Any] = self.branches()
        with own_random_numbers():
            for branch in branches:
                if not branch.is_init:
                    branch.init_weights()
        configs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg or {}]
        if any(config.get('type') == 'Pretrained' for config in configs):
            super().init_weights()  # one checkpoint for all
        else:
            # An init_cfg of the base head with `layer` would draw for the branches too.
            hidden = {name: self._modules.pop(name) for name in self.branch_modules}
            try:
                super().init_weights()
            finally:
                self._modules.update(hidden)

    def loss(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Compute the losses of the base head and of the branches; arguments as the base head's."""
        losses, taps = self._base_loss(*args, **kwargs)
        if len(taps) != 1:
            raise RuntimeError(
                f'base_type: {type(self).__name__} classified {len(taps)} times in one training '
                'step, expected once. Its head does not go through cls_seg(): training branches '
                'cannot tell which feature map is meant'
            )
        samples = _data_samples(args, kwargs)
        inputs = BranchInputs.from_tap(taps[0], samples, self.ignore_index, self.align_corners)
        inputs.stock_losses = dict(losses)
        for branch in self.branches():
            for name, value in branch(inputs).items():
                losses[name] = losses[name] + value if name in losses else value
        return losses

    def _base_loss(
        self, *args: Any, **kwargs: Any
    ) -> tuple[dict[str, Tensor], list[TappedFeatures]]:
        """Compute the losses of the base head and keep what it classified.

        A function of its own: torch.compile cannot go on inside ``try`` after a graph break.
        """
        taps: list[TappedFeatures] = []
        self._taps: list[TappedFeatures] | None = taps
        try:
            return super().loss(*args, **kwargs), taps
        finally:
            self._taps = None

    def branches(self) -> list[nn.Module]:
        """List the branches that add losses."""
        return list(self.training_branches.values())

    def __reduce__(self) -> tuple:
        # The generated class may belong to a head of a third party that is not imported yet in
        # the process that unpickles: refer to it by its two parents.
        return _rebuild, (type(self).branch_class, type(self).base_class), self.__dict__


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Draw random numbers that follow from the CPU's global generator and leave it as it was.

    Whatever is built later, an auxiliary head for one, starts as it would without branches.
    """
    with torch.random.fork_rng(devices=[]):
        # From a seed of their own: the state as it is would repeat in the next module. On the CPU
        # also where modules are built on another device, or on meta.
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), device='cpu')))
        yield


def branch_head_class(branch_class: type, base_type: str | type | None) -> type[BaseModule]:
    """Return the generated subclass of a branch head and a base decode head, made once per pair.

    Args:
        branch_class: :class:`BranchDecodeHead` or a subclass of it.
        base_type: registered name of the base head, or the class.

    Raises:
        ValueError: see :class:`BranchDecodeHead`.
    """
    base = base_type if isinstance(base_type, type) else _registered_head(base_type)
    name = f'{branch_class.__name__}_{base.__module__.replace(".", "_")}_{base.__name__}'
    module = sys.modules[__name__]
    if not hasattr(module, name):
        namespace = dict(
            __module__=__name__,
            __doc__=f'{base.__name__} with the training branches of {branch_class.__name__}.',
            branch_class=branch_class,
            base_class=base,
        )
        setattr(module, name, type(name, (branch_class, tap_for(base), base), namespace))
    return getattr(module, name)


def _registered_head(base_type: str | None) -> type[BaseModule]:
    if base_type is None:
        raise ValueError(
            'base_type: expected the name of a registered decode head, got nothing. '
            "Write the head's former type there, e.g. base_type='PSPHead'"
        )
    base = MODELS.get(base_type)
    if base is None:
        heads = [name for name in MODELS.module_dict if name.endswith('Head')]
        close = difflib.get_close_matches(base_type, heads, n=1)
        hint = f'Did you mean {close[0]!r}? ' if close else ''
        raise ValueError(
            f'base_type: expected the name of a registered decode head, got {base_type!r}. '
            f"{hint}A head of your own has to be imported through 'custom_imports'"
        )
    return base


def _rebuild(branch_class: type, base_class: type) -> nn.Module:
    return object.__new__(branch_head_class(branch_class, base_class))


def _data_samples(args: tuple, kwargs: dict) -> list:
    """Find ``batch_data_samples`` in ``loss(inputs, [prev_output,] data_samples, train_cfg)``."""
    if 'batch_data_samples' in kwargs:
        return kwargs['batch_data_samples']
    return args[-1] if 'train_cfg' in kwargs else args[-2]
