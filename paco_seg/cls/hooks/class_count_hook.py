"""Tells the model how often each class occurs in the training set."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmpretrain.registry import DATASETS, HOOKS
from torch.utils.data import BatchSampler, DataLoader

from paco_seg.cls.compared.class_aware_sampler import ClassAwareSampler
from paco_seg.cls.datasets import class_counts
from paco_seg.cls.datasets.class_labels import SeveralLabelsError
from paco_seg.cls.heads.batches import fewest_images
from paco_seg.cls.losses import ClassCounts, GPaCoLoss
from paco_seg.core.alpha import alpha_products, alpha_report, alpha_warning, expected_positives
from paco_seg.core.frequency import SHOT_GROUPS, SHOT_THRESHOLDS, group_classes
from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.rng import is_endless


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Fills ``class_prior='auto'`` and ``alpha='auto'``, and reports the scale of alpha.

    Before training: counts the labels of the training set (refusing labels outside the classes of
    the head), hands the counts to every part of the model that holds :class:`ClassCounts`, and
    logs alpha times the expected number of positives for classes with many, a medium number of
    and few images, with a warning outside the range of the published recipes. What would fail in
    the first step fails here: a queue shorter than a step, another number of views than the model
    takes, or, at the end of the epoch, a batch of one image where BatchNorm needs two. A class
    prior beside :class:`ClassAwareSampler`, which corrects twice, gets a warning.

    Before a test: a prior that prediction reads (:class:`LogitAdjustedClsHead`) and neither the
    config nor the checkpoint provides is counted on the dataset of ``train_dataloader``. No other
    test needs the training images.

    ``paco-seg train`` adds it where a part of the model asks for it (``required_hooks``); other
    training scripts need it in the config.

    Example:
        >>> custom_hooks = [dict(type='ClassCountHook')]
    """

    # Ahead of EMAHook, which copies the model in before_run: the counts have their size by then.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Count, check and report, if the run is a training.

        Raises:
            ValueError: a label is outside the classes of the head, images have several labels, a
                class without images has to give a prior, a given prior has another length, the
                queue is shorter than a step, a batch has fewer images than the head takes, or the
                samples have another number of views.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a config dict as long as nobody trains
        model = bare_model(runner.model)
        loader = runner.train_dataloader
        batch_size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 1)
        if hasattr(model.head, 'check_batch'):
            model.head.check_batch(batch_size)
        _check_last_batch(loader, model.head, batch_size)
        if hasattr(model.data_preprocessor, 'check_views'):
            found = _num_views(loader.dataset)
            if found is not None:
                model.data_preprocessor.check_views(found)
        counts = _class_counts(loader.dataset, model.head)
        self._counts, self._batch_size = counts, batch_size
        _fill(model, counts)
        if isinstance(loader.sampler, ClassAwareSampler):
            _warn_of_two_corrections(runner, model)
        self._report_alpha(runner, model)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        """Fill what has come with another loss since (``SwitchRecipeHook``), once an epoch."""
        if batch_idx == 0:
            model = bare_model(runner.model)
            if any(not len(part.counts) for part in _holders(model)):
                _fill(model, self._counts)
            loss = getattr(model.head, 'loss_module', None)
            if isinstance(loss, GPaCoLoss) and isinstance(loss.alpha, str):
                self._report_alpha(runner, model)

    def before_val(self, runner: Runner) -> None:
        """Count on the config's training set what prediction reads and nobody knows."""
        self.before_test(runner)

    def before_test(self, runner: Runner) -> None:
        """Count on the config's training set what prediction reads and nobody knows."""
        self.prepare_prediction(bare_model(runner.model), runner.cfg)

    def prepare_prediction(self, model: Any, cfg: Mapping[str, Any]) -> None:
        """Count on the config's training set what prediction reads and nobody knows.

        Args:
            model: with the weights that predict.
            cfg: the config of the model.

        Raises:
            ValueError: the training set cannot be read here; names the key of what is unknown.
        """
        loader = cfg.get('train_dataloader')
        unknown = [part for part in _holders(model) if part.for_prediction and not len(part.counts)]
        if not unknown or loader is None:
            return
        try:
            counts = _class_counts(DATASETS.build(loader['dataset']), model.head)
        except OSError as error:
            raise ValueError(
                f"{unknown[0].key}: expected class counts, got 'auto', and train_dataloader."
                f'dataset cannot be counted here: {error}. Give a list of counts or a JSON file '
                '(`paco-seg statistics CONFIG`, where the data are)'
            ) from error
        _fill(model, counts)

    def _report_alpha(self, runner: Runner, model: Any) -> None:
        """Derive and report the scale of alpha, if the head has one."""
        loss, counts = getattr(model.head, 'loss_module', None), self._counts
        if not hasattr(model.head, 'contrast_rows') or not isinstance(loss, GPaCoLoss):
            return
        num_views = getattr(model.data_preprocessor, 'num_views', 1)
        rows, certain = model.head.contrast_rows(self._batch_size, num_views)
        shares = torch.from_numpy(counts / counts.sum())
        positives = expected_positives(shares, rows, certain=certain)
        alpha = loss.set_positives(positives)
        many, few = SHOT_THRESHOLDS
        groups = group_classes(counts, many + 1, few, SHOT_GROUPS)
        products = alpha_products(alpha, positives, groups)
        runner.logger.info(alpha_report(alpha, products))
        warning = alpha_warning(alpha, positives, key='model.head.loss.alpha')
        if warning is not None:
            runner.logger.warning(warning)


def _check_last_batch(loader: DataLoader, head: torch.nn.Module, batch_size: int) -> None:
    """Refuse batches of fewer images than the head takes; the last one of an epoch may be short.

    Raises:
        ValueError: names the key and the number of images.
    """
    fewest = fewest_images(head)
    reason = f'for {type(head).__name__}, whose BatchNorm has no statistics of one row'
    if batch_size < fewest:
        raise ValueError(
            f'train_dataloader.batch_size: expected at least {fewest} {reason}, got {batch_size}. '
            'Make it larger'
        )
    # A sampler without end has no last batch, and of others nobody knows the batches.
    is_plain = type(loader.batch_sampler) is BatchSampler
    if is_endless(loader) or not is_plain or not isinstance(loader.sampler, Sized):
        return
    images = len(loader.sampler)
    if not loader.drop_last and 0 < images % batch_size < fewest:
        raise ValueError(
            f'train_dataloader.drop_last: expected True {reason}, got False, and a last batch of '
            f'{images % batch_size} image ({images} per process in batches of {batch_size}). Set '
            'it, or change train_dataloader.batch_size'
        )


def _class_counts(dataset: Any, head: torch.nn.Module) -> np.ndarray:
    try:
        return class_counts(dataset, getattr(head, 'num_classes', None))
    except SeveralLabelsError as error:
        raise SeveralLabelsError(
            f'{error}, or a multi-label head instead of {type(head).__name__}'
        ) from None


def _holders(model: torch.nn.Module) -> list[ClassCounts]:
    return [module for module in model.modules() if isinstance(module, ClassCounts)]


def _fill(model: torch.nn.Module, counts: np.ndarray) -> None:
    for module in _holders(model):
        module.fill(torch.from_numpy(counts))


def _num_views(dataset: Any) -> int | None:
    """Count the views of the first training sample; None if it is no packed sample.

    The random numbers of the training stay as they are without this look.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        sample = dataset[0]
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    if not isinstance(sample, Mapping) or 'inputs' not in sample:
        return None
    return 1 if isinstance(sample['inputs'], torch.Tensor) else len(sample['inputs'])


def _warn_of_two_corrections(runner: Runner, model: torch.nn.Module) -> None:
    for part in _holders(model):
        if part.key.endswith('.class_prior'):
            runner.logger.warning(
                f"{part.key}: expected no class prior with train_dataloader.sampler.type='Class"
                "AwareSampler', which removes the prior already, got one: the classes are "
                "corrected twice. Set the sampler to dict(type='DefaultSampler', shuffle=True), "
                'or leave the prior out'
            )
