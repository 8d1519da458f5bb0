"""Refuses to test or resume on a data set whose classes are not those of the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.hooks.num_class_check_hook import _has_classes, _heads

# A list of names in a message stops here.
SHOWN = 5


@HOOKS.register_module()
class ClassNamesCheckHook(Hook):
    """Compares the classes of a data set with the model's, and with those of the checkpoint.

    A metric pairs predictions and labels by number alone: three classes on a model of four, or the
    same names in another order, give a wrong figure without a word. The checkpoint knows the names
    of its training set (``meta.dataset_meta``), if MMEngine 1.x wrote it. Names that merely differ
    (another spelling, another language) are a warning; a name at another place is refused. Data
    sets without ``classes`` in their ``metainfo`` are passed over.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self._trained_on: tuple[str, ...] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the classes that the checkpoint was trained on."""
        self._trained_on = classes_of_checkpoint(checkpoint)

    def before_test(self, runner: Runner) -> None:
        """Check ahead of the first batch.

        Raises:
            ValueError: names the setting, the number or the names, and the remedy.
        """
        key, dataset = 'test_dataloader.dataset', runner.test_dataloader.dataset
        classes = classes_of(dataset)
        if classes is None:
            return
        for name, head in _heads(bare_model(runner.model)):
            got = getattr(head, 'num_classes', None)
            if got is not None and got != len(classes) and _has_classes(head):
                raise ValueError(
                    f'{key}: expected {got} classes, since {name}.num_classes is {got}, got '
                    f'{len(classes)} ({_listing(classes)}). Test on the classes of the training: '
                    f'correct {key}.metainfo or num_classes'
                )
        self._compare(key, classes, self._trained_on)

    def before_train(self, runner: Runner) -> None:
        """Check a training that is resumed, and the validation of any.

        A training that starts from other weights may differ from them.

        Raises:
            ValueError: names the setting, the names, and the remedy.
        """
        classes = classes_of(runner.train_dataloader.dataset)
        if classes is not None and runner.cfg.get('resume'):
            self._compare('train_dataloader.dataset', classes, self._trained_on)
        validated = classes_of(
            getattr(getattr(runner.val_loop, 'dataloader', None), 'dataset', None)
        )
        if validated is not None:
            self._compare('val_dataloader.dataset', validated, classes, 'the training data')

    def _compare(
        self,
        key: str,
        classes: Sequence[str],
        trained: Sequence[str] | None,
        source: str = 'the checkpoint',
    ) -> None:
        if trained is None or _same(trained, classes):
            return
        place = {_plain(name): number for number, name in enumerate(trained)}
        moved = [
            f'{name!r} is {number}, was {place[_plain(name)]}'
            for number, name in enumerate(classes)
            # Two classes may share a name, as the cranes of ImageNet do.
            if place.get(_plain(name), number) != number
            and (number >= len(trained) or _plain(trained[number]) != _plain(name))
        ]
        if moved or len(trained) != len(classes):
            raise ValueError(
                f'{key}.metainfo.classes: expected the {len(trained)} classes of {source} in '
                f'its order ({_listing(trained)}), got {len(classes)} ({_listing(classes)}'
                f'{"; " + "; ".join(moved[:SHOWN]) if moved else ""}). Predictions would be '
                'compared with labels of other classes: put the names, and the label numbers, into '
                'the order of the training'
            )
        differing = [
            f'{one!r} was {other!r}'
            for one, other in zip(classes, trained, strict=True)
            if _plain(one) != _plain(other)
        ]
        print_log(
            f'{key}.metainfo.classes: {len(differing)} names differ from {source} '
            f'({", ".join(differing[:SHOWN])}): make sure that they mean the same',
            'current',
            logging.WARNING,
        )


def classes_of_checkpoint(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of the classes that a checkpoint was trained on; None if it names none."""
    meta = checkpoint.get('meta') or {}
    # MM 0.x wrote CLASSES.
    found = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')
    return tuple(map(str, found)) if isinstance(found, (list, tuple)) else None


def classes_of(dataset: Any) -> tuple[str, ...] | None:
    """Return the names of the classes of a data set; None if it names none."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return tuple(map(str, classes)) if isinstance(classes, (list, tuple)) else None


def _plain(name: str) -> str:
    return name.strip().lower()


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    return list(map(_plain, one)) == list(map(_plain, other))


def _listing(names: Sequence[str]) -> str:
    return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
