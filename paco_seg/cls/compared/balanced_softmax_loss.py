"""Balanced softmax: cross entropy with the class prior in the logits, in training only."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.losses.utils import weight_reduce_loss
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core.checks import check_choice, check_range
from paco_seg.core.compared.balanced_softmax import balanced_softmax_loss

KEY = 'model.head.loss'


@MODELS.register_module()
class BalancedSoftmaxLoss(nn.Module):
    """``CE(logits + tau * log prior)`` (arXiv 2007.10740; arXiv 2007.07314 with tau).

    For any head that calls its loss with logits and labels. The head predicts with the raw logits.
    Do not combine it with class-balanced sampling, which removes the prior already.

    Args:
        class_prior: counts of the training set: ``'auto'`` (through :class:`ClassCountHook`), a
            list of counts or frequencies, or a JSON file with such a list.
        tau: factor on the log prior, >= 0; 0 is cross entropy.
        reduction: 'mean', 'sum' or 'none'.
        loss_weight: factor of the loss.

    Raises:
        ValueError: a setting is out of range; the message starts with ``model.head.loss.<key>``.

    Example:
        >>> model = dict(head=dict(loss=dict(type='BalancedSoftmaxLoss', class_prior='auto')))
    """

    def __init__(
        self,
        *,
        class_prior: str | Sequence[float] = 'auto',
        tau: float = 1.0,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.tau', tau, low=0.0)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_choice(f'{KEY}.reduction', reduction, ('mean', 'sum', 'none'))
        self.class_prior = ClassCounts(class_prior, f'{KEY}.class_prior')
        self.tau = tau
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss of raw logits.

        Args:
            cls_score: (N, C).
            label: (N,) integer in [0, C).
            weight: (N,) factors, or None.
            avg_factor: divisor of the mean instead of N.
            reduction_override: instead of ``reduction``.

        Returns:
            Scalar, or (N,) for the reduction 'none'.

        Raises:
            ValueError: 'auto' that nobody has filled, a prior of another length, soft labels, or
                a label that is no class.
        """
        if label.dim() != 1:
            raise ValueError(
                f'{KEY}: expected class indices (N,), got soft labels of shape '
                f'{tuple(label.shape)}. Balanced softmax has no published form for mixed labels: '
                'remove Mixup and CutMix from model.train_cfg.augments'
            )
        self.class_prior.check_length(cls_score.shape[1])
        values = balanced_softmax_loss(cls_score, label, self.class_prior(), strength=self.tau)
        return self.loss_weight * weight_reduce_loss(
            values, weight, reduction_override or self.reduction, avg_factor
        )
