"""GPaCo and PaCo on image embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core.alpha import auto_alpha
from paco_seg.core.checks import check_range
from paco_seg.core.frequency import class_frequency
from paco_seg.core.grouping import Grouping, group_by_rule
from paco_seg.core.paco import ContrastBatch, PaCoSettings, paco_loss

KEY = 'model.head.loss'


@MODELS.register_module()
class GPaCoLoss(nn.Module):
    """Parametric contrastive loss of PaCo (arXiv 2107.12028) and GPaCo (arXiv 2209.12400).

    The equation is in :func:`paco_seg.core.parametric_contrastive_loss`. Which of the two it is
    depends on the head: GPaCo's anchors are both views, PaCo's the first view only.

    Args:
        class_prior: its logarithm is added to the logits in training: ``'auto'`` (counts of the
            training set, through :class:`ClassCountHook`), a list of counts or frequencies, a
            JSON file with such a list, or None (no prior).
        loss_weight: factor of the loss.
        **settings: fields of :class:`paco_seg.core.paco.PaCoSettings` but ``contrast_ignored``,
            since no image is ignored. ``alpha`` is 0.05 and ``temperature`` 0.2 by default.
            What acts is alpha times the number of positives (:mod:`paco_seg.core.alpha`), so it
            depends on the number of classes, their distribution and the queue; ``alpha='auto'``
            derives it from them, with 0.15 as the product for the most frequent class
            (:class:`ClassCountHook` sets it before training).

    Raises:
        TypeError: a setting is unknown or of another type.
        ValueError: a setting is out of range; the message starts with ``model.head.loss.<key>``.
    """

    def __init__(
        self,
        *,
        class_prior: str | Sequence[float] | None = 'auto',
        loss_weight: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__()
        settings = dict(alpha=0.05, temperature=0.2) | settings
        self.settings = PaCoSettings.checked(
            KEY,
            without=('contrast_ignored',),
            further=('class_prior', 'loss_weight'),
            **settings,
        )
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        self.class_prior = (
            None if class_prior is None else ClassCounts(class_prior, f'{KEY}.class_prior')
        )
        self.loss_weight = loss_weight

    @property
    def alpha(self) -> float | str:
        """Weight of one sample positive, or 'auto' before training."""
        return self.settings.alpha

    def set_positives(self, positives: Tensor) -> float:
        """Derive ``alpha='auto'`` from the expected positives of each class, (C,); the alpha."""
        if isinstance(self.alpha, str):
            self.settings = replace(self.settings, alpha=auto_alpha(positives))
        return float(self.alpha)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over the anchors.

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
        batch = self.contrast_batch(embeddings, labels, logits, keys=keys, key_labels=key_labels)
        return self.loss_weight * paco_loss(**batch._asdict(), unit_rows=True)

    def contrast_batch(
        self,
        embeddings: Tensor,
        labels: Tensor,
        logits: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> ContrastBatch:
        """Return what the core is called with; arguments as of :meth:`forward`."""
        if isinstance(self.alpha, str):
            raise ValueError(
                f"{KEY}.alpha: expected a number before the first step, got 'auto' that nobody "
                "has derived. Add custom_hooks=[dict(type='ClassCountHook')]"
            )
        return ContrastBatch(
            embeddings,
            labels,
            logits,
            self.settings,
            class_prior=None if self.class_prior is None else self.class_prior.frequencies(),
            keys=keys,
            key_labels=key_labels,
        )

    def class_groups(self) -> Grouping | None:
        """Group the classes by the counts of ``class_prior``; None where it has none.

        The host waits for the device here.
        """
        if self.class_prior is None or not len(self.class_prior.counts):
            return None
        counts = [round(count) for count in self.class_prior.counts.tolist()]
        if min(counts) < 1:  # frequencies, which say nothing about the number of images
            return None
        return group_by_rule(class_frequency(counts, self.class_prior.key))
