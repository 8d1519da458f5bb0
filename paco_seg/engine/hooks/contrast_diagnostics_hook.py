"""Shows in every visualizer backend what the contrast does."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from paco_seg.core.checks import check_count
from paco_seg.core.diagnostics import (
    center_cosines,
    center_geometry,
    class_sums,
    group_means,
    pair_counts,
)
from paco_seg.core.distributed import all_reduce_sum
from paco_seg.core.grouping import Grouping
from paco_seg.core.paco import paco_loss
from paco_seg.engine.bare_model import bare_model
from paco_seg.engine.class_centers import centers_of, classifier_beside

# Names of what is averaged over anchors, and over samples.
ANCHORS = ('loss', 'alpha_positives', 'positives', 'negatives')
SAMPLES = ('cosine_own', 'cosine_other')


@HOOKS.register_module()
class ContrastDiagnosticsHook(Hook):
    """Writes numbers about the contrast as scalars, one step out of ``interval``.

    It watches every loss of the PaCo family, of either task, through PyTorch's forward hooks, which
    are there in those steps only: the other steps are those of a training without it. The numbers
    go to the visualizer, and so to every backend of the config (``LocalVisBackend``,
    ``TensorboardVisBackend``, ``MLflowVisBackend``, ``WandbVisBackend``, ...), over the batches of
    all processes. A model with several such losses has the name of their module in the names.

    =========================== ==================================================================
    scalar                      meaning, mean over the anchors of the step
    =========================== ==================================================================
    ``contrast/loss``           loss of an anchor, before ``loss_weight`` and warm-up
    ``.../alpha_positives``     alpha |P|: the optimum gives the own center 1 / (1 + alpha |P|)
    ``.../positives``           sample positives |P| of an anchor
    ``.../negatives``           the rest of its contrast set
    ``.../cosine_own``          of a feature, as the classifier reads it, to the center of its class
    ``.../cosine_other``        to the nearest center of another class
    ``.../centers_mean``        cosine of the centers of two classes, mean over all pairs
    ``.../centers_spread``      its standard deviation over the pairs
    ``.../centers_simplex``     -1 / (C - 1), the mean (at spread 0) of a simplex
    ``.../gradient_share``      segmentation: norm of the gradient of this loss at the features, of
                                the sum of its norm and that of all other losses
    =========================== ==================================================================

    Where class frequencies are known (``loss_contrast.frequency_file``, ``class_prior`` in
    classification) the first six exist for each group of classes too, as ``contrast/loss/head``,
    and ``contrast/anchors/head`` is the share of the anchors that are of these classes.

    Args:
        interval: iterations between two steps that are looked at. One costs a forward and a
            backward pass of the loss more.
        max_samples: features whose cosines are taken, evenly spaced; at least 1.

    Raises:
        TypeError: a setting is no integer.
        ValueError: a setting is below 1.

    Example:
        >>> custom_hooks = [dict(type='ContrastDiagnosticsHook', interval=50)]
    """

    priority = 'NORMAL'

    def __init__(self, interval: int = 50, max_samples: int = 4096) -> None:
        check_count('ContrastDiagnosticsHook.interval', interval, low=1)
        check_count('ContrastDiagnosticsHook.max_samples', max_samples, low=1)
        self.interval = interval
        self.max_samples = max_samples
        self._handles: list[Any] = []
        self._observations: list[_Observation] = []
        self._groups: dict[str, Grouping | None] = {}

    def before_train(self, runner: Runner) -> None:
        """Say where there is nothing to show.

        Raises:
            ValueError: no loss of the model is one of PaCo's.
        """
        watched = _watched(bare_model(runner.model))
        if not watched:
            raise ValueError(
                'custom_hooks: ContrastDiagnosticsHook: expected a model with PixelGPaCoLoss or '
                f'GPaCoLoss, got {type(bare_model(runner.model)).__name__} without. Remove the hook'
            )
        if runner.cfg.get('compile'):
            runner.logger.warning(
                'ContrastDiagnosticsHook: a compiled model does not look at hooks that come and '
                'go: its steps may show nothing'
            )
        for name, _, loss in watched:
            groups = self._groups[name] = loss.class_groups()
            runner.logger.info(
                f'ContrastDiagnosticsHook: {name}: '
                + (groups.rule if groups else 'no class frequencies, no groups')
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at this step if it is one of those."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        self._stop()  # a step that has failed left its own
        model = bare_model(runner.model)
        watched = _watched(model)
        factor = partial(_gradient_factor, runner)
        for name, owner, loss in watched:
            seen = _Observation(
                'contrast' if len(watched) == 1 else f'contrast/{name.rpartition(".")[0]}',
                self._groups.get(name),
                self.max_samples,
                factor,
            )
            seen.classifier = classifier_beside(model, name)
            if seen.classifier is not None and seen.classifier in owner.children():
                hook = seen.classifier.register_forward_pre_hook(seen.see_features)
                self._handles.append(hook)
            self._handles += [
                loss.register_forward_hook(seen.see_loss, with_kwargs=True),
                owner.register_forward_hook(seen.see_branch),
            ]
            self._observations.append(seen)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write what was seen."""
        if not self._observations:
            return
        scalars: dict[str, float] = {}
        for seen in self._observations:
            scalars |= seen.scalars()
        self._stop()
        # A group without a sample in this step has no mean.
        finite = {name: value for name, value in scalars.items() if math.isfinite(value)}
        if finite:
            runner.visualizer.add_scalars(finite, step=runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Leave nothing on the model."""
        self._stop()

    def _stop(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._observations = [], []


class _Observation:
    """What one loss shows in one step."""

    def __init__(
        self, prefix: str, grouping: Grouping | None, max_samples: int, factor: Any
    ) -> None:
        self.prefix = prefix
        self.groups = {} if grouping is None else grouping.groups
        self.max_samples = max_samples
        self.factor = factor
        self.classifier: nn.Module | None = None
        self.num_classes = 0
        self.anchors: Tensor | None = None
        self.samples: Tensor | None = None
        self.norms: list[Tensor] = []
        self._features: Tensor | None = None

    def see_features(self, module: nn.Module, args: tuple) -> None:
        """Remember the input of a classifier beside the loss, (N, D)."""
        self._features = args[0].detach()

    @torch.no_grad()
    def see_loss(self, module: Any, args: tuple, kwargs: dict, output: Tensor) -> None:
        """Sum what there is to say of each anchor, by class."""
        batch = module.contrast_batch(*args, **kwargs)
        self.num_classes = batch.center_logits.shape[-1]
        values = paco_loss(**batch._asdict(), reduction='none', unit_rows=True)
        labels = batch.labels if batch.labels.dim() == 2 else batch.labels.unsqueeze(0)
        positives, negatives = pair_counts(
            labels,
            self.num_classes,
            ignore_index=batch.ignore_index,
            contrast_ignored=batch.settings.contrast_ignored,
            key_labels=batch.key_labels,
        )
        columns = (values, batch.settings.alpha * positives, positives, negatives)
        sums = class_sums(
            [column.flatten() for column in columns], labels.flatten(), self.num_classes
        )
        self.anchors = sums if self.anchors is None else self.anchors + sums
        if self._features is not None and len(self._features) == labels.numel():
            self._see_samples(self._features, labels.flatten())

    def see_branch(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Take cosines and the gradient at the feature map that a branch of a decode head gets."""
        inputs: Any = args[0] if args else None
        if not hasattr(inputs, 'feature_labels'):
            return
        rows = inputs.features.detach().flatten(2).transpose(1, 2).flatten(0, 1)
        self._see_samples(rows, inputs.feature_labels.flatten())
        features = inputs.features
        if features.requires_grad and torch.is_grad_enabled():
            loss = sum(output.values()) * self.factor()
            (own,) = torch.autograd.grad(loss, features, retain_graph=True)
            features.register_hook(partial(self._see_gradient, own))

    def _see_gradient(self, own: Tensor, total: Tensor) -> None:
        """Compare the gradient of the loss with that of all losses together."""
        own, total = own.float(), total.float()
        self.norms = [own.norm(), (total - own).norm()]

    @torch.no_grad()
    def _see_samples(self, rows: Tensor, labels: Tensor) -> None:
        if self.classifier is None:
            return
        centers = centers_of(self.classifier)
        # One logit of a foreground has no center of the background.
        if centers.shape != (self.num_classes, rows.shape[1]) or self.num_classes < 2:
            return
        # Evenly spaced instead of drawn: the training keeps its random numbers.
        step = -(-len(rows) // self.max_samples)
        rows, labels = rows[::step].float(), labels[::step].long()
        valid = (labels >= 0) & (labels < self.num_classes)
        own, other = center_cosines(rows, labels.masked_fill(~valid, 0), centers)
        sums = class_sums([own, other], labels, self.num_classes)
        self.samples = sums if self.samples is None else self.samples + sums

    def scalars(self) -> dict[str, float]:
        """Return name -> value; the host waits for the device, and for the other processes."""
        found: dict[str, float] = {}
        for names, sums in ((ANCHORS, self.anchors), (SAMPLES, self.samples)):
            if sums is None:
                continue
            for group, (means, share) in group_means(all_reduce_sum(sums), self.groups).items():
                suffix = f'/{group}' if group else ''
                for name, mean in zip(names, means, strict=True):
                    found[f'{self.prefix}/{name}{suffix}'] = mean
                if group and names is ANCHORS:
                    found[f'{self.prefix}/anchors{suffix}'] = share
        if self.samples is not None and self.classifier is not None:
            geometry = center_geometry(centers_of(self.classifier))
            for name, value in geometry._asdict().items():
                found[f'{self.prefix}/centers_{name}'] = float(value)
        if self.norms:
            own, rest = all_reduce_sum(torch.stack(self.norms)).tolist()
            if own + rest > 0:
                found[f'{self.prefix}/gradient_share'] = own / (own + rest)
        return found


def _watched(model: nn.Module) -> list[tuple[str, nn.Module, Any]]:
    """List the losses of PaCo's family with their names, and the modules that hold them."""
    return [
        (f'{name}.{key}' if name else key, owner, loss)
        for name, owner in model.named_modules()
        for key, loss in owner.named_children()
        if hasattr(loss, 'contrast_batch')
    ]


def _gradient_factor(runner: Runner) -> float:
    """Return what the optimizer wrapper multiplies the losses with ahead of the backward pass."""
    wrapper = runner.optim_wrapper
    factor = float(wrapper.scale_loss(torch.ones(()))) if hasattr(wrapper, 'scale_loss') else 1.0
    scaler = getattr(wrapper, 'loss_scaler', None)
    return factor * (scaler.get_scale() if scaler is not None else 1.0)
