"""Starts a classifier from the mean features of the classes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch.distributed.fsdp import FullyShardedDataParallel

from paco_seg.cls.heads.features import hard_labels
from paco_seg.core.compared.lift import ClassMeans
from paco_seg.engine.bare_model import bare_model


@HOOKS.register_module()
class ClassMeanStartHook(Hook):
    """Sets the rows of :class:`LIFTClsHead` to class means, ahead of the first step of a training.

    Passes the training images once, through the pipeline of the validation (or test) images, which
    each process does for its share. A resumed training keeps its rows, as does a head with another
    ``start``. A class without images keeps its random direction.

    Example:
        >>> custom_hooks = [dict(type='ClassMeanStartHook')]
    """

    # Behind ClassCountHook, which refuses unfit data before a pass over them.
    priority = 'LOW'

    @torch.no_grad()
    def before_train(self, runner: Runner) -> None:
        """Compute and set the rows, unless the training is a resumed one."""
        model = bare_model(runner.model)
        if runner.iter > 0 or not getattr(model.head, 'starts_from_means', False):
            return
        if isinstance(runner.model, FullyShardedDataParallel):
            raise ValueError(
                'model.head.start: expected None (random directions) or a file under FSDPStrategy, '
                "got 'class-mean': the rows of the classifier lie in slices. Train with DDP, or "
                'give another start'
            )
        runner.logger.info('The classifier starts from the class means of the training images')
        means = ClassMeans(model.head.num_classes)
        with torch.random.fork_rng(devices=[]):  # the training draws what it would draw without
            loader = Runner.build_dataloader(_plain_loader(runner.cfg), seed=0)
            training = model.training
            model.eval()
            for batch in loader:
                data = model.data_preprocessor(batch, training=False)
                features = model.head.pre_logits(model.extract_feat(data['inputs']))
                means.add(features, hard_labels(data['data_samples'], model.head))
            model.train(training)
        model.head.set_rows(*means.directions())


def _plain_loader(cfg: Any) -> dict[str, Any]:
    """Return the loader of the training images, each once and without augmentation."""
    evaluation = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    loader = copy.deepcopy(evaluation or cfg.train_dataloader)
    loader['dataset'] = copy.deepcopy(cfg.train_dataloader['dataset'])
    if evaluation is not None:
        _set_pipelines(loader['dataset'], _pipeline(evaluation['dataset']))
    loader['drop_last'] = False
    loader['persistent_workers'] = False
    loader.pop('batch_sampler', None)
    # A share that is not rounded up counts no image twice.
    loader['sampler'] = dict(type='DefaultSampler', shuffle=False, round_up=False)
    return loader


def _pipeline(dataset: Any) -> Any:
    if 'pipeline' in dataset:
        return dataset['pipeline']
    return _pipeline(dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0])


def _set_pipelines(dataset: Any, pipeline: Any) -> None:
    if 'pipeline' in dataset:
        dataset['pipeline'] = pipeline
        return
    for part in [dataset['dataset']] if 'dataset' in dataset else dataset['datasets']:
        _set_pipelines(part, pipeline)
