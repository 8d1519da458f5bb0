"""Cross entropy plus supervised contrast: the multi-task baseline of GPaCo."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core.checks import check_choice, check_range
from paco_seg.core.compared.supcon import inverse_effective_weights, multi_task_loss
from paco_seg.core.contrast import IMPLEMENTATIONS

KEY = 'model.head.loss'
WEIGHTINGS = ('released', 'effective_number')


@MODELS.register_module()
class MultiTaskSupConLoss(nn.Module):
    """``CE + alpha * w * SupCon`` on the same embeddings and logits as GPaCo (arXiv 2209.12400).

    Long-tailed data: the cross entropy has the class prior (balanced softmax). Balanced CIFAR-100:
    ``class_prior=None``. ViT: ``class_prior=None, label_smoothing=0.1``.

    Args:
        alpha: weight of the contrastive term, >= 0.
        temperature: of the contrastive term, > 0.
        class_prior: as in :class:`GPaCoLoss`.
        weighting: weight w of the contrastive term by class of the anchor. ``'released'``: 1, which
            is what the authors' code computes. ``'effective_number'``: mean(E) / E_c with the
            effective numbers E of the counts, which is what it is written to compute; the
            ``class_prior`` then has to be counts.
        label_smoothing: of the cross entropy, in the convention of torch and timm (eps / C).
        loss_weight: factor of the loss.
        impl: 'auto', 'dense' or 'streaming', see the core.

    Raises:
        ValueError: a setting is out of range; the message starts with ``model.head.loss.<key>``.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        temperature: float = 0.2,
        class_prior: str | Sequence[float] | None = 'auto',
        weighting: str = 'released',
        label_smoothing: float = 0.0,
        loss_weight: float = 1.0,
        impl: str = 'auto',
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.alpha', alpha, low=0.0)
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.label_smoothing', label_smoothing, low=0.0, high=1.0)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_choice(f'{KEY}.weighting', weighting, WEIGHTINGS)
        check_choice(f'{KEY}.impl', impl, IMPLEMENTATIONS)
        if weighting == 'effective_number' and class_prior is None:
            raise ValueError(
                f"{KEY}.class_prior: expected class counts for weighting='effective_number', got "
                "None. Set class_prior='auto', or weighting='released'"
            )
        self.alpha = alpha
        self.temperature = temperature
        self.class_prior = (
            None if class_prior is None else ClassCounts(class_prior, f'{KEY}.class_prior')
        )
        if self.class_prior is not None and weighting == 'effective_number':
            self.class_prior.check_counts("weighting='effective_number'")
        self.weighting = weighting
        self.label_smoothing = label_smoothing
        self.loss_weight = loss_weight
        self.impl = impl

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over the anchors; arguments as in :meth:`GPaCoLoss.forward`."""
        prior = weights = None
        if self.class_prior is not None:
            prior = self.class_prior.frequencies()
            if self.weighting == 'effective_number':
                weights = inverse_effective_weights(self.class_prior())
        values = multi_task_loss(
            embeddings,
            labels,
            logits,
            alpha=self.alpha,
            temperature=self.temperature,
            class_prior=prior,
            class_weights=weights,
            label_smoothing=self.label_smoothing,
            keys=keys,
            key_labels=key_labels,
            impl=self.impl,
        )
        return self.loss_weight * values.mean()
