"""Trainings in half precision into which overflows are thrown, and deterministic algorithms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import mmpretrain.registry
import mmseg.registry
import torch
from helpers import contrastive
from helpers.classifier_zoo import SYSTEMS
from mmengine.registry import DefaultScope
from stress.fuzz import CHANNELS, CLASSES, classification_loss, of_label_maps
from stress.trials import Trials
from torch import Tensor, nn

from paco_seg.core import KeyQueue
from paco_seg.seg.heads import BranchInputs

PROMISE = (
    'A step that overflows in half precision leaves no infinite or NaN value in a weight, an '
    'optimizer moment, the momentum encoder or the queue; every system runs with '
    '`torch.use_deterministic_algorithms(True)`'
)
DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


class _Pixels(nn.Module):
    """A convolution with the pixel branch and its queue of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.logits = nn.Conv2d(8, 4, 1)
        with DefaultScope.overwrite_default_scope('mmseg'):
            self.branch = mmseg.registry.MODELS.build(
                dict(
                    type='GPaCoBranch',
                    in_channels=8,
                    num_classes=4,
                    projector=dict(num_layers=2, out_channels=6),
                    loss_contrast=dict(
                        type='PixelGPaCoLoss', num_pixels=24, queue_size=32, alpha=0.05
                    ),
                )
            )

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        features = self.features(images)
        logits = self.logits(features)
        found = self.branch(BranchInputs(features, logits, labels, None, 255))
        return found | {'loss_ce': nn.functional.cross_entropy(logits, labels, ignore_index=255)}


def _pixels(step: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(step)
    labels = torch.randint(0, 4, (2, 5, 6), generator=rng)
    labels[torch.rand(labels.shape, generator=rng) < 0.2] = 255
    return dict(images=torch.randn(2, 3, 5, 6, generator=rng), labels=labels)


def _images(step: int) -> dict[str, Any]:
    labels = [step % 5, (step // 5) % 5, 1, 3]
    return dict(
        inputs=contrastive.views(labels, seed=step),
        data_samples=contrastive.samples(labels),
    )


def _systems() -> Iterator[tuple[str, nn.Module, Callable[[int], dict], str]]:
    """Name, model, batch of a step, and the module whose output overflows."""
    torch.manual_seed(0)
    yield 'pixels', _Pixels(), _pixels, 'branch.projector.0'
    yield 'GPaCo', contrastive.build_classifier('GPaCo'), _images, 'head.projector'
    yield 'PaCo', contrastive.build_classifier('PaCo'), _images, 'momentum_encoder.projector'


def run(trials: Trials) -> None:
    steps = trials.size(40, 2000)
    for name, dtype in DTYPES.items():
        for system, model, batch, victim in _systems():
            _train(trials, f'{system} in {name}', model, batch, victim, dtype, steps)
    torch.use_deterministic_algorithms(True)
    try:
        for system, model, batch, _ in _systems():
            with trials.trial('systems with deterministic algorithms', system):
                for step in range(3):
                    _total(model, batch(step)).backward()
        _deterministic_zoo(trials)
    finally:
        torch.use_deterministic_algorithms(False)


def _deterministic_zoo(trials: Trials) -> None:
    """Steps of every system of classification, and of every branch and loss of label maps."""
    for system, (config, views) in SYSTEMS.items():
        with trials.trial('systems with deterministic algorithms', system):
            model = mmpretrain.registry.MODELS.build(copy.deepcopy(config)).train()
            for step in range(3):
                classification_loss(model, views, [step % 5, 1, 1, 3], step).backward()
    for system, losses in of_label_maps(trials.folder / 'maps').items():
        with trials.trial('systems with deterministic algorithms', system):
            for step in range(3):
                rng = torch.Generator().manual_seed(step)
                features = torch.randn(2, CHANNELS, 5, 6, generator=rng).requires_grad_()
                logits = torch.randn(2, CLASSES, 5, 6, generator=rng).requires_grad_()
                labels = _pixels(step)['labels']
                found = losses(BranchInputs(features, logits, labels, None, 255))
                sum(loss.sum() for key, loss in found.items() if 'loss' in key).backward()


def _total(model: nn.Module, batch: dict) -> Tensor:
    found = model.losses(**batch) if isinstance(model, _Pixels) else model.loss(**batch)
    return sum(value.sum() for key, value in found.items() if 'loss' in key)


def _train(
    trials: Trials,
    what: str,
    model: nn.Module,
    batch: Callable[[int], dict],
    victim: str,
    dtype: torch.dtype,
    steps: int,
) -> None:
    """A training with a loss scaler as MMEngine's ``AmpOptimWrapper`` has it.

    The scale grows back faster than by default: it halves with every overflow, and in thousands of
    steps of which a quarter overflow it would reach 0, where nothing can be trained.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**10, growth_interval=2)
    broken = {'value': 0.0, 'rows': 0}
    skipped = 0

    def overflow(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if not broken['rows']:
            return output
        # What a product that leaves the range of the dtype gives: some rows, not all.
        factor = torch.ones_like(output, dtype=torch.float32)
        factor.flatten()[:: broken['rows']] = broken['value']
        return (output * factor).to(output.dtype)

    handle = model.get_submodule(victim).register_forward_hook(overflow)
    for step in range(steps):
        kind = trials.rng.choice([*(['none'] * 12), 'inf', 'nan', 'huge', 'gradient'])
        broken['rows'] = trials.rng.choice([1, 3, 7]) if kind in ('inf', 'nan', 'huge') else 0
        broken['value'] = dict(inf=float('inf'), nan=float('nan'), huge=3e38).get(kind, 1.0)
        with torch.autocast('cpu', dtype=dtype):
            loss = _total(model, batch(step))
        optimizer.zero_grad()
        if loss.requires_grad:
            scaled = scaler.scale(loss)
            (scaled * 3e38 * 3e38 if kind == 'gradient' else scaled).backward()
            scaler.step(optimizer)
            scale = scaler.get_scale()
            scaler.update()
            skipped += scaler.get_scale() < scale
        poisoned = _poisoned(model, optimizer)
        if not trials.check(
            f'steps in {str(dtype).removeprefix("torch.")}',
            not poisoned,
            f'{what}: step {step} ({kind}, one row in {broken["rows"]}): {poisoned[:3]}',
        ):
            break
    handle.remove()
    dropped = sum(int(m.dropped) for m in model.modules() if isinstance(m, KeyQueue))
    # Else nothing overflowed, and the trials say nothing.
    trials.check('overflows arrived', skipped > 0, f'{what}: no step was skipped')
    trials.check('overflows arrived', dropped > 0, f'{what}: no key was dropped')
    filled = [m for m in model.modules() if isinstance(m, KeyQueue) and (m.labels >= 0).any()]
    trials.check('overflows arrived', bool(filled), f'{what}: the queue stays empty')


def _poisoned(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    values = dict(model.named_parameters()) | dict(model.named_buffers())
    for number, state in enumerate(optimizer.state.values()):
        values |= {f'moment {number} {key}': v for key, v in state.items()}
    return [
        name
        for name, value in values.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all()
    ]
