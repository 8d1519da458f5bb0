"""Closed-form inputs of the published loss values, and tiny classifiers on random images."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers.run_overhead import leave_out_overhead
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

import paco_seg.cls  # noqa: F401
from paco_seg import cli
from paco_seg.comparison.process import forget_runs
from paco_seg.core.compared import ClassMeans
from paco_seg.engine import CPUDistributedDataParallel
from paco_seg.engine.fsdp_strategy import ResumableFSDPStrategy
from paco_seg.engine.launch import DATA_PARALLEL
from paco_seg.engine.strategies import fit_strategy

NUM_CLASSES = 5
COUNTS = [500, 100, 50, 20, 5]


def embeddings(count: int, offset: int) -> torch.Tensor:
    """(count, 6) unit rows of the published checks."""
    i = torch.arange(count, dtype=torch.float64)[:, None] + offset
    j = torch.arange(6, dtype=torch.float64)
    return F.normalize(torch.sin(0.7 * i + 1.3 * j + 0.1 * i * j))


def logits(count: int, offset: int) -> torch.Tensor:
    """(count, 5) logits of the published checks."""
    i = torch.arange(count, dtype=torch.float64)[:, None] + offset
    return torch.cos(0.5 * i + 0.9 * torch.arange(NUM_CLASSES, dtype=torch.float64))


def golden_inputs() -> SimpleNamespace:
    """Two views of 4 images, 8 keys: q, k, keys, labels, key_labels, l1, l2."""
    return SimpleNamespace(
        q=embeddings(4, 0),
        k=embeddings(4, 100),
        keys=embeddings(8, 200),
        labels=torch.tensor([0, 1, 1, 3]),
        key_labels=(3 * torch.arange(8)) % 5,
        l1=logits(4, 0),
        l2=logits(4, 50),
    )


def paco_terms() -> tuple[tuple, dict]:
    """Anchors (rows, labels, logits) and keys of PaCo."""
    g = golden_inputs()
    keys = dict(keys=torch.cat([g.k, g.keys]), key_labels=torch.cat([g.labels, g.key_labels]))
    return (g.q, g.labels, g.l1), keys


def gpaco_terms() -> tuple[tuple, dict]:
    """Anchors and keys of GPaCo with two views."""
    g = golden_inputs()
    rows = torch.cat([g.q, g.k]), torch.cat([g.labels] * 2), torch.cat([g.l1, g.l2])
    return rows, dict(keys=g.keys, key_labels=g.key_labels)


def single_view_terms() -> tuple[tuple, dict]:
    """Anchors and keys of GPaCo with one view."""
    g = golden_inputs()
    return (g.q, g.labels, g.l1), dict(keys=g.keys, key_labels=g.key_labels)


def samples(labels: torch.Tensor | list[int]) -> list[DataSample]:
    """One data sample per label."""
    return [DataSample().set_gt_label(int(label)) for label in labels]


def build_head(kind: str = 'GPaCo', **settings: object) -> torch.nn.Module:
    """A head on features of width 11: embeddings of width 6, a queue of 8 keys."""
    settings = dict(num_classes=5, in_channels=11, queue_size=8) | settings
    settings['projector'] = dict(out_channels=6) | settings.get('projector', {})
    settings['loss'] = dict(class_prior=None) | settings.get('loss', {})
    return MODELS.build(dict(type=f'{kind}ClsHead', **settings))


def golden_head(kind: str = 'GPaCo', **loss: object) -> torch.nn.Module:
    """A head that cuts the embedding and the logits out of features (embedding, logits).

    The queue holds the eight keys of the published checks.
    """
    head = build_head(kind, projector=dict(num_layers=1), loss=loss).double().train()
    identity = torch.eye(11)
    head.projector[0].weight.data.copy_(identity[:6])
    head.fc.weight.data.copy_(identity[6:])
    for layer in (head.projector[0], head.fc):
        layer.bias.data.zero_()
    g = golden_inputs()
    head.queue.enqueue(g.keys, g.key_labels)
    return head


def golden_features(views: int = 2) -> tuple[torch.Tensor]:
    """What :func:`golden_head` cuts the published embeddings and logits out of."""
    g = golden_inputs()
    both = (torch.cat([g.q, g.l1], dim=1), torch.cat([g.k, g.l2], dim=1))
    return (torch.cat(both[:views]),)


def classifier_config(kind: str = 'GPaCo', **head: object) -> dict:
    """A 16-channel CIFAR ResNet-8 with the classifier and the head of ``kind``."""
    head = (
        dict(
            type=f'{kind}ClsHead',
            num_classes=NUM_CLASSES,
            in_channels=16,
            projector=dict(out_channels=6),
            queue_size=16,
            loss=dict(class_prior=COUNTS),
        )
        | head
    )
    return dict(
        type='PaCoClassifier' if kind == 'PaCo' else 'GPaCoClassifier',
        backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
        neck=dict(type='GlobalAveragePooling'),
        head=head,
    )


def build_classifier(kind: str = 'GPaCo', seed: int = 0, **head: object) -> torch.nn.Module:
    """The classifier of :func:`classifier_config` in training mode, with fixed weights."""
    torch.manual_seed(seed)
    model = MODELS.build(classifier_config(kind, **head))
    model.init_weights()
    return model.train()


def batch(labels: list[int], views: int = 2, seed: int = 0, size: int = 8) -> dict:
    """What a loader with ``pseudo_collate`` delivers: uint8 images of every view, and samples."""
    generator = torch.Generator().manual_seed(seed)
    images = [
        tuple(
            torch.randint(256, (3, size, size), generator=generator, dtype=torch.uint8)
            for _ in labels
        )
        for _ in range(views)
    ]
    inputs = images if views > 1 else list(images[0])
    return dict(inputs=inputs, data_samples=samples(labels))


def views(labels: Sequence[int] = (0, 1, 1, 3), seed: int = 0, size: int = 8) -> list[torch.Tensor]:
    """Two views, as the preprocessor delivers them."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(len(labels), 3, size, size, generator=generator) for _ in range(2)]


def three_view_head(kind: str, **settings: object) -> torch.nn.Module:
    """A head of BCL or ProCo on features of width 6, without statistics of a batch."""
    torch.manual_seed(0)
    defaults = dict(
        num_classes=NUM_CLASSES,
        in_channels=6,
        projector=dict(out_channels=4, norm=None),
        loss=dict(class_prior=COUNTS),
    )
    prior = dict(class_prior=COUNTS) if kind == 'ProCo' else {}
    contrast = dict(temperature=0.3) | prior | settings.pop('loss_contrast', {})
    settings = defaults | settings
    head = MODELS.build(dict(type=f'{kind}ClsHead', loss_contrast=contrast, **settings)).double()
    if kind == 'ProCo':
        head.contrast_module.set_progress(0, 2)
    return head


def three_view_features(seed: int = 0) -> torch.Tensor:
    """(3, 4, 6): three views of four images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)


def contrast_of_part(kind: str, part: slice = slice(None), **contrast: object) -> dict:
    """Contrast of some of four images in the second of two epochs of one step, and its gradients.

    Args:
        kind: BCL or ProCo.
        part: images of this process.
        contrast: settings.

    Returns:
        ``loss``, ``gradients`` by name, and the ``buffers`` of the contrast.
    """
    labels = [0, 1, 1, 3][part]
    head = three_view_head(kind, loss_contrast=contrast)
    for epoch in range(2):
        if kind == 'ProCo':
            head.contrast_module.set_progress(epoch, 2)
        rows = three_view_features(epoch)[:, part].reshape(-1, 6)
        loss = head.loss((rows,), samples(labels), num_views=3)['loss_contrast']
    loss.backward()
    named = head.named_parameters()
    return dict(
        loss=loss.item(),
        gradients={name: p.grad for name, p in named if p.grad is not None},
        buffers=head.contrast_module.state_dict(),
    )


def class_means_of_part(part: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions of the class means of all ranks, and which classes have images."""
    means = ClassMeans(NUM_CLASSES)
    means.add(three_view_features()[0, part], torch.tensor([0, 1, 1, 3])[part])
    return means.directions()


def work_on_rank(configs: list[tuple[str, ...]]) -> dict:
    """What one of several processes sees: short trainings, shuffled keys, parts of a batch.

    Args:
        configs: arguments of ``paco-seg train``, run one after the other.
    """
    from helpers.classifier_zoo import SYSTEMS  # which needs this module

    results: dict = {kind: _train_on_rank(kind, steps=4) for kind in ('GPaCo', 'PaCo')}
    part = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    for kind in ('BCL', 'ProCo'):
        results[kind] = contrast_of_part(kind, part)
    results['class means'] = class_means_of_part(part)
    results['BCL alone'] = contrast_of_part('BCL', part, gather=False)
    wrappers = {
        'DDP': CPUDistributedDataParallel,
        'DDP with a static graph': functools.partial(CPUDistributedDataParallel, **DATA_PARALLEL),
        'FSDP': _shard,
    }
    for title in SYSTEMS:
        for wrapper, wrap in wrappers.items():
            if (title, wrapper) != ('LIFT', 'FSDP'):  # scalar parameters
                results[title, wrapper] = _train_wrapped(*SYSTEMS[title], wrap)
    os.environ |= dict.fromkeys(('RANK', 'LOCAL_RANK'), str(dist.get_rank()))
    os.environ['WORLD_SIZE'] = str(dist.get_world_size())
    leave_out_overhead(pytest.MonkeyPatch())
    for arguments in configs:
        forget_runs()
        cli.run(['train', *arguments, '--launcher', 'pytorch'])
    for counts in ((4, 4), (3, 2)):
        results['keys', counts] = _keys_on_rank(counts)
    return results


def _train_on_rank(kind: str, steps: int) -> dict[str, torch.Tensor]:
    """State of a classifier after data-parallel training on this rank's images."""
    model = build_classifier(kind, seed=dist.get_rank())  # DDP takes the weights of rank 0
    wrapped = CPUDistributedDataParallel(model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(steps):
        labels = [step % 5, dist.get_rank() * 2, 4]
        wrapped.train_step(batch(labels, seed=10 * step + dist.get_rank()), wrapper)
    return {key: value.clone() for key, value in model.state_dict().items()}


def _shard(model: nn.Module) -> nn.Module:
    """Wrap a model as ``_base_/strategies/fsdp.py`` does."""
    strategy = ResumableFSDPStrategy.__new__(ResumableFSDPStrategy)  # without the launch of a run
    strategy.model_wrapper = dict(
        type='MMFullyShardedDataParallel',
        sharding_strategy='SHARD_GRAD_OP',
        use_orig_params=True,
        device_id='cpu',
    )
    fit_strategy(strategy, model)
    return MODEL_WRAPPERS.build(dict(strategy.model_wrapper, module=model))


def _train_wrapped(
    config: dict, views: int, wrap: Callable[[nn.Module], nn.Module]
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Losses and final state of three steps in a model wrapper, on this rank's images.

    The steps lie at the start, in the last tenth and at the end of the training, where schedules
    switch parts of a loss on and off.
    """
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config)).train()
    wrapped = wrap(model)
    weights = [weight for weight in wrapped.parameters() if weight.requires_grad]
    optimizer = OptimWrapper(torch.optim.SGD(weights, lr=0.1, momentum=0.9))
    rng = torch.Generator().manual_seed(dist.get_rank())
    size = config['backbone'].get('img_size', 8)
    losses = []
    for step, epoch in enumerate((0, 9, 10)):
        for module in model.modules():
            if hasattr(module, 'set_progress'):
                module.set_progress(epoch, 10)
        images = [torch.randn(3, 3, size, size, generator=rng) for _ in range(views)]
        labels = samples([step, dist.get_rank() * 2, 4])
        for sample in labels:
            sample.set_field(torch.tensor([3]), 'balanced_label')
        found = wrapped(images if views > 1 else images[0], labels, mode='loss')
        loss, _ = model.parse_losses(found)
        optimizer.update_params(loss)
        losses.append(loss.detach())
    state = (wrapped if isinstance(wrapped, FullyShardedDataParallel) else model).state_dict()
    return losses, {key: value.clone() for key, value in state.items()}


def _keys_on_rank(counts: tuple[int, ...]) -> list[torch.Tensor]:
    """Keys shuffled and not shuffled, then the same with fixed statistics in BatchNorm."""
    model = build_classifier('PaCo')
    torch.manual_seed(dist.get_rank())
    images = torch.randn(counts[dist.get_rank()], 3, 8, 8) + 3 * dist.get_rank()
    keys = []
    with torch.no_grad():
        for training in (False, True):  # the running statistics are still those of the start
            model.momentum_encoder.train(training)
            keys = [model._keys(images), model._encode_keys(images), *keys]
    return keys
