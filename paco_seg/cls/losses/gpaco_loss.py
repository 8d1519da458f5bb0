"""GPaCo and PaCo on image embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core import parametric_contrastive_loss
from paco_seg.core.alpha import auto_alpha
from paco_seg.core.checks import check_choice, check_range
from paco_seg.core.dispatch import IMPLEMENTATIONS

KEY = 'model.head.loss'


@MODELS.register_module()
class GPaCoLoss(nn.Module):
    """Parametric contrastive loss of PaCo (arXiv 2107.12028) and GPaCo (arXiv 2209.12400).

    The equation is in :func:`paco_seg.core.parametric_contrastive_loss`. Which of the two it is
    depends on the head: GPaCo's anchors are both views, PaCo's the first view only.

    Args:
        alpha: weight of one sample positive relative to the center, > 0. What acts is alpha times
            the number of positives (:mod:`paco_seg.core.alpha`), so it depends on the number of
            classes, their distribution and the queue. ``'auto'`` derives it from them, with 1 as
            the product for the most frequent class; :class:`ClassCountHook` sets it before
            training.
        temperature: of the similarities between embeddings, > 0.
        beta: weight of the center, > 0.
        gamma: weight of the samples in the denominator, >= 0.
        center_temperature: of the center logits including the prior, > 0.
        base_temperature: > 0; None = ``temperature`` (factor 1).
        label_smoothing: eps in [0, 1) of the center target, eps / (C - 1) on other classes.
        class_prior: its logarithm is added to the logits in training: ``'auto'`` (counts of the
            training set, through :class:`ClassCountHook`), a list of counts or frequencies, a
            JSON file with such a list, or None (no prior).
        loss_weight: factor of the loss.
        impl: 'auto', 'dense' or 'streaming', see the core.

    Raises:
        ValueError: a setting is out of range; the message starts with ``model.head.loss.<key>``.
    """

    def __init__(
        self,
        *,
        alpha: float | str = 0.05,
        temperature: float = 0.2,
        beta: float = 1.0,
        gamma: float = 1.0,
        center_temperature: float = 1.0,
        base_temperature: float | None = None,
        label_smoothing: float = 0.0,
        class_prior: str | Sequence[float] | None = 'auto',
        loss_weight: float = 1.0,
        impl: str = 'auto',
    ) -> None:
        super().__init__()
        if isinstance(alpha, str):
            check_choice(f'{KEY}.alpha', alpha, ('auto', 'a number > 0'))
        else:
            check_range(f'{KEY}.alpha', alpha, low=0.0, low_open=True, remedy="Try 'auto'")
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.beta', beta, low=0.0, low_open=True)
        check_range(f'{KEY}.gamma', gamma, low=0.0)
        check_range(f'{KEY}.center_temperature', center_temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.label_smoothing', label_smoothing, low=0.0, high=1.0)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        if label_smoothing == 1.0:
            raise ValueError(
                f'{KEY}.label_smoothing: expected a value in [0, 1), got 1.0. Nothing would be '
                'left to the class itself: 0.1 is usual'
            )
        check_choice(f'{KEY}.impl', impl, IMPLEMENTATIONS)
        if base_temperature is not None:
            check_range(f'{KEY}.base_temperature', base_temperature, low=0.0, low_open=True)
        self.alpha = alpha
        self.temperature = temperature
        self.beta = beta
        self.gamma = gamma
        self.center_temperature = center_temperature
        self.base_temperature = base_temperature
        self.label_smoothing = label_smoothing
        self.class_prior = (
            None if class_prior is None else ClassCounts(class_prior, f'{KEY}.class_prior')
        )
        self.loss_weight = loss_weight
        self.impl = impl

    def set_positives(self, positives: Tensor) -> float:
        """Derive ``alpha='auto'`` from the expected positives of each class, (C,); the alpha."""
        if isinstance(self.alpha, str):
            self.alpha = auto_alpha(positives)
        return self.alpha

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        """Mean over the anchors.

        Args:
            embeddings: (N, D) unit rows, all are anchors.
            labels: (N,) integer in [0, C).
            logits: (N, C) of the classifier, without prior.
            keys: (M, D) further contrast rows.
            key_labels: (M,) integer; -1 marks an empty slot.

        Returns:
            Scalar.

        Raises:
            ValueError: ``'auto'`` that nobody has filled, or a label that is no class.
        """
        if isinstance(self.alpha, str):
            raise ValueError(
                f"{KEY}.alpha: expected a number before the first step, got 'auto' that nobody "
                "has derived. Add custom_hooks=[dict(type='ClassCountHook')]"
            )
        loss = parametric_contrastive_loss(
            embeddings,
            labels,
            logits,
            alpha=self.alpha,
            temperature=self.temperature,
            beta=self.beta,
            gamma=self.gamma,
            center_temperature=self.center_temperature,
            base_temperature=self.base_temperature,
            class_prior=None if self.class_prior is None else self.class_prior.frequencies(),
            label_smoothing=self.label_smoothing,
            keys=keys,
            key_labels=key_labels,
            impl=self.impl,
        )
        return self.loss_weight * loss
