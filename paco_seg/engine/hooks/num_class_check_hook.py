"""The classes of the training set against those that the parts of a model were built for."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from paco_seg.engine.bare_model import bare_model

# Attribute names of the heads in MMSegmentation's segmentors and MMPretrain's classifiers.
HEADS = ('decode_head', 'auxiliary_head', 'head')


@HOOKS.register_module()
class NumClassCheckHook(Hook):
    """Comparison of the classes of the training set with what the model was built for.

    ``num_classes`` of every head has to be their number, and every part of the model that knows
    class names, through ``check_class_names(classes)``, has to agree with them: a prior read from
    frequencies of permuted classes trains as silently as a head with too many classes.
    Too few classes fail in the loss (on a GPU: in an assertion without a name). Heads without an
    axis of classes are passed over (STDC's boundary head, regression), and so is a dataset without
    ``classes`` in its ``metainfo``.
    """

    def before_train(self, runner: Runner) -> None:
        """Check once, before the first batch is loaded.

        Raises:
            ValueError: names the config key, and the expected and the actual number or name.
        """
        dataset = runner.train_dataloader.dataset
        classes = getattr(dataset, 'metainfo', {}).get('classes')
        if classes is None:
            return
        model = bare_model(runner.model)
        for key, head in _heads(model):
            got = getattr(head, 'num_classes', None)
            if got is None or got == len(classes) or not _has_classes(head):
                continue
            raise ValueError(
                f'{key}.num_classes: expected {len(classes)} (the classes of '
                f'{type(dataset).__name__}), got {got}. Set it to {len(classes)}, or correct '
                'train_dataloader.dataset.metainfo'
            )
        for module in model.modules():
            check = getattr(module, 'check_class_names', None)
            if check is not None:
                check(classes)


def _has_classes(head: nn.Module) -> bool:
    return getattr(head, 'out_channels', None) != 1 and not hasattr(head, 'boundary_threshold')


def _heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name in HEADS:
        head = getattr(model, name, None)
        if isinstance(head, nn.ModuleList):
            yield from ((f'model.{name}[{i}]', child) for i, child in enumerate(head))
        elif head is not None:
            yield f'model.{name}', head
