"""Refuses a head that was built for another number of classes than the data set has."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

# Attribute names of the heads in MMSegmentation's segmentors and MMPretrain's classifiers.
HEADS = ('decode_head', 'auxiliary_head', 'head')


@HOOKS.register_module()
class NumClassCheckHook(Hook):
    """Compares ``num_classes`` of every head with the classes of the training set.

    Too many classes train silently, too few fail in the loss (on a GPU: in an assertion without a
    name). Heads without an axis of classes are passed over (STDC's boundary head, regression), and
    so is a dataset without ``classes`` in its ``metainfo``.
    """

    def before_train(self, runner: Runner) -> None:
        """Checks once, before the first batch is loaded.

        Raises:
            ValueError: names the config key, the expected and the actual number.
        """
        dataset = runner.train_dataloader.dataset
        classes = getattr(dataset, 'metainfo', {}).get('classes')
        if classes is None:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for key, head in _heads(model):
            got = getattr(head, 'num_classes', None)
            if got is None or got == len(classes) or not _has_classes(head):
                continue
            raise ValueError(
                f'{key}.num_classes: expected {len(classes)} (the classes of '
                f'{type(dataset).__name__}), got {got}. Set it to {len(classes)}, or correct '
                'train_dataloader.dataset.metainfo'
            )


def _has_classes(head: nn.Module) -> bool:
    return getattr(head, 'out_channels', None) != 1 and not hasattr(head, 'boundary_threshold')


def _heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name in HEADS:
        head = getattr(model, name, None)
        if isinstance(head, nn.ModuleList):
            yield from ((f'model.{name}[{i}]', child) for i, child in enumerate(head))
        elif head is not None:
            yield f'model.{name}', head
