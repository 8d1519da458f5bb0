"""Settings that MMEngine accepts and that fail, or act as nothing, once training has begun."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, IterableDataset

from paco_seg.core.checks import check_choice, check_count, check_range
from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.rng import is_endless


@HOOKS.register_module()
class SettingsCheckHook(Hook):
    """Refusal of what would only show after hours: length, learning rate, top-k, best checkpoint.

    Tests are checked as well, for what would only show when all images are predicted.

    Metrics that leave out values, such as the mean of an empty group of classes, say so through
    ``why_absent(name)``.
    """

    def before_train(self, runner: Runner) -> None:
        """Check once, before the first batch is loaded.

        Raises:
            TypeError: a number is something else.
            ValueError: names the config key, what is expected and the value.
        """
        check_length(runner)
        check_learning_rates(runner.optim_wrapper)
        check_checkpoint_interval(runner)
        check_save_best(runner)
        check_topk(runner)
        _check_metrics(runner.val_loop, 'val_evaluator')
        check_slides(runner)

    def before_test(self, runner: Runner) -> None:
        """Check once, before the first image is tested.

        Raises:
            TypeError, ValueError: names the config key, what is expected and the value.
        """
        _check_topk_metrics(runner.test_loop, 'test_evaluator')
        _check_metrics(runner.test_loop, 'test_evaluator')
        check_slides(runner)


def check_length(runner: Runner) -> None:
    """Refuse a training of no step.

    Raises:
        ValueError: names the config key.
    """
    loader = runner.train_dataloader
    is_sized = isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)
    if is_sized and loader.batch_size is not None and not is_endless(loader) and not len(loader):
        raise ValueError(
            f'train_dataloader.batch_size: expected at most {len(loader.sampler)}, the images of a '
            f'process in an epoch, since drop_last is set, got {loader.batch_size}: there would '
            'be no step. Lower it, or set drop_last=False'
        )
    # A loop of iterations counts as one epoch, and one of epochs knows its iterations as well.
    name = 'max_epochs' if isinstance(runner.train_loop, EpochBasedTrainLoop) else 'max_iters'
    check_count(f'train_cfg.{name}', getattr(runner.train_loop, name), low=1)


def check_learning_rates(optim_wrapper: OptimWrapper | OptimWrapperDict) -> None:
    """Refuse a learning rate that is no finite number.

    Raises:
        TypeError, ValueError: names the config key.
    """
    if isinstance(optim_wrapper, OptimWrapperDict):
        groups = [group for wrapper in optim_wrapper.values() for group in wrapper.param_groups]
    else:
        groups = optim_wrapper.param_groups
    for group in groups:
        for name in ('lr', 'initial_lr', 'weight_decay', 'momentum'):
            if isinstance(group.get(name), float):
                key = 'lr' if name == 'initial_lr' else name
                check_range(f'optim_wrapper.optimizer.{key}', group[name], low=0.0)


def check_checkpoint_interval(runner: Runner) -> None:
    """Refuse an interval in epochs in a loop of iterations, which is one epoch to its end.

    The reverse gets a warning: inside an epoch a checkpoint is of use for a test alone.

    Raises:
        ValueError: names the config key.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        for hook in runner.hooks:
            if not isinstance(hook, CheckpointHook) or hook.by_epoch or hook.interval <= 0:
                continue
            length = len(runner.train_loop.dataloader)
            if hook.interval % length:
                print_log(
                    'CheckpointHook.by_epoch: expected True, or an interval of whole epochs of '
                    f'{length} iterations, since train_cfg counts epochs, got False and '
                    f'{hook.interval}: --resume from a checkpoint inside an epoch trains on the '
                    'whole of it again, and ends as another training',
                    'current',
                    logging.WARNING,
                )
    if not isinstance(runner.train_loop, IterBasedTrainLoop):
        return
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.by_epoch and hook.interval > 0:
            raise ValueError(
                'CheckpointHook.by_epoch: expected False, since train_cfg counts iterations, got '
                f'True: at an interval of {hook.interval} epochs nothing that --resume could '
                'continue is written before the end. Set it, and interval to a number of '
                'iterations; interval=-1 keeps the last one alone'
            )


def check_save_best(runner: Runner) -> None:
    """Refuse a best checkpoint, or an early stop, by a value that no metric will report.

    Raises:
        ValueError: names the config key, the value and why it is never there.
    """
    metrics = _metrics(runner.val_loop)
    reported = [_reported(metric) for metric in metrics]
    known = None if None in reported else {name for names in reported for name in names or ()}
    for key, name in _monitored(runner):
        # The loop adds the losses of a model that has some in a validation.
        if known and name != 'auto' and name not in known and 'loss' not in name:
            raise ValueError(
                f'{key}: expected one of {", ".join(sorted(known))}, got {name!r}. Correct it'
            )
        for metric in metrics:
            why_absent = getattr(metric, 'why_absent', None)
            reason = None if why_absent is None else why_absent(name)
            if reason is not None:
                raise ValueError(
                    f'{key}: expected a value that {type(metric).__name__} reports, got {name!r}: '
                    f'{reason}. Name another value, or change the groups of the metric'
                )


def _reported(metric: Any) -> set[str] | None:
    """Return the values that a stock metric reports; None of others, which only know themselves."""
    kind, package = type(metric).__name__, type(metric).__module__.partition('.')[0]
    names: set[str] = set()
    # By name: neither MMSegmentation nor MMPretrain is to be imported here.
    if (package, kind) == ('mmseg', 'IoUMetric'):
        names = {'aAcc', 'mAcc'}
        measures = [metric.metrics] if isinstance(metric.metrics, str) else metric.metrics
        for measure in measures:
            names |= {'mFscore', 'mPrecision', 'mRecall'} if measure == 'mFscore' else {measure}
    elif (package, kind) == ('mmpretrain', 'Accuracy') and metric.thrs == (0.0,):
        names = {f'top{k}' for k in metric.topk}
    elif (package, kind) == ('mmpretrain', 'SingleLabelMetric') and len(metric.thrs) == 1:
        suffix = {None: '_classwise', 'micro': '_micro'}.get(metric.average, '')
        names = {f'{item}{suffix}' for item in metric.items}
    return {f'{metric.prefix}/{name}' if metric.prefix else name for name in names} or None


def check_topk(runner: Runner) -> None:
    """Refuse an accuracy among more classes than there are.

    Raises:
        TypeError, ValueError: names the config key, the largest value allowed and the value.
    """
    model = bare_model(runner.model)
    head = getattr(model, 'head', None)
    topk = getattr(head, 'topk', None)
    if topk is not None:
        # Without cal_acc nobody counts: stock heads have (1, 5) for any number of classes.
        most = getattr(head, 'num_classes', None) if getattr(head, 'cal_acc', False) else None
        _check_topk('model.head.topk', topk, most)
    _check_topk_metrics(runner.val_loop, 'val_evaluator')


def _check_topk_metrics(loop: Any, key: str) -> None:
    classes = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
    names = (getattr(classes, 'metainfo', None) or {}).get('classes')
    for metric in _metrics(loop):
        # By name: MMPretrain is not to be imported here. The k of retrieval are of another kind.
        if any(cls.__name__ == 'Accuracy' for cls in type(metric).__mro__):
            _check_topk(f'{key}.topk', metric.topk, None if names is None else len(names))


def _check_topk(key: str, topk: Any, num_classes: int | None) -> None:
    high = math.inf if num_classes is None else num_classes
    for value in topk if isinstance(topk, Sequence) and not isinstance(topk, str) else (topk,):
        check_count(
            key,
            value,
            low=1,
            high=high,
            remedy='' if num_classes is None else f'There are {num_classes} classes',
        )


def _check_metrics(loop: Any, key: str) -> None:
    """Refuse what stock metrics find out when they are computed.

    Raises:
        ValueError: names the config key, what is expected and the value.
    """
    for metric in _metrics(loop):
        kind, package = type(metric).__name__, type(metric).__module__.partition('.')[0]
        # By name, as above; one of somebody else may know more.
        if package in ('mmseg', 'paco_seg') and kind in ('IoUMetric', 'LongTailIoUMetric'):
            found = metric.metrics
            for name in [found] if isinstance(found, str) else found:
                check_choice(f'{key}.iou_metrics', name, ('mIoU', 'mDice', 'mFscore'))
        if (package, kind) == ('mmpretrain', 'SingleLabelMetric'):
            check_choice(f'{key}.average', metric.average, ('macro', 'micro', None))


def check_slides(runner: Runner) -> None:
    """Refuse a test in windows of unknown size.

    Raises:
        ValueError: names the config key.
    """
    settings = getattr(bare_model(runner.model), 'test_cfg', None)
    if isinstance(settings, Mapping) and settings.get('mode') == 'slide':
        for name in ('crop_size', 'stride'):
            if settings.get(name) is None:
                raise ValueError(
                    f"model.test_cfg.{name}: expected (height, width), since mode is 'slide', got "
                    "none. Set it, or mode='whole'"
                )


def _metrics(loop: Any) -> list[Any]:
    return list(getattr(getattr(loop, 'evaluator', None), 'metrics', []))


def _monitored(runner: Runner) -> Iterator[tuple[str, str]]:
    """Give the values that decide about checkpoints or the end of training, with their keys."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            names = [hook.save_best] if isinstance(hook.save_best, str) else hook.save_best
            yield from (('default_hooks.checkpoint.save_best', name) for name in names)
        elif isinstance(hook, EarlyStoppingHook):
            yield 'custom_hooks.EarlyStoppingHook.monitor', hook.monitor
    schedulers = runner.param_schedulers or []
    groups = schedulers.values() if isinstance(schedulers, Mapping) else [schedulers]
    for scheduler in (one for group in groups for one in group):
        if getattr(scheduler, 'need_val_args', False):
            yield 'param_scheduler.monitor', scheduler.monitor
