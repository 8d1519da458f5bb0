"""Focal loss of one sigmoid for each class, which starts at the prior of the paper."""

from __future__ import annotations

import math

from mmpretrain.models.losses import FocalLoss
from mmpretrain.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_range

KEY = 'PriorFocalLoss'


@MODELS.register_module()
class PriorFocalLoss(FocalLoss):
    """MMPretrain's ``FocalLoss`` of logits that are shifted by ``log(prior / (1 - prior))``.

    Where all logits are zero each class has the probability ``prior`` (arXiv 1708.02002, section
    3.3). Without it a head starts at one half for each of its classes, and a short training is
    spent on getting away from there. The paper puts the shift into the bias of the last layer; here
    it stands in the loss, so that any head can have it. It is the same for all classes: the
    prediction and the softmax stay. ::

        head=dict(loss=dict(type='PriorFocalLoss', gamma=2.0))

    Args:
        gamma: how much less a class counts that is told well, >= 0.
        alpha: weight of the class of an image, that of the others is 1 - alpha; from 0 to 1.
        prior: probability of each class at the start, above 0; 0.5, the largest, is no shift.
        **kwargs: ``reduction`` and ``loss_weight`` of ``FocalLoss``.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self, *, gamma: float = 2.0, alpha: float = 0.25, prior: float = 0.01, **kwargs: float | str
    ) -> None:
        super().__init__(gamma=gamma, alpha=alpha, **kwargs)
        check_range(f'{KEY}.gamma', gamma, low=0.0)
        check_range(f'{KEY}.alpha', alpha, low=0.0, high=1.0)
        check_range(f'{KEY}.prior', prior, low=0.0, high=0.5, low_open=True)
        self.prior = prior

    def forward(self, pred: Tensor, target: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Return the loss; arguments as ``FocalLoss``.

        Args:
            pred: (N, C) logits.
            target: (N,) labels, or (N, C) of 0 and 1.
            *args: ``weight``, ``avg_factor``, ``reduction_override``.
            **kwargs: the same by name.
        """
        shift = math.log(self.prior / (1 - self.prior))
        loss: Tensor = super().forward(pred + shift, target, *args, **kwargs)
        return loss
