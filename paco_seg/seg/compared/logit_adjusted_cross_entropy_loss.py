"""Cross entropy with the log pixel prior added to the logits, in training only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_range, compute_dtype
from paco_seg.core.frequency import REMEDY, check_classes, load_class_frequency, log_class_prior
from paco_seg.seg.compared.pixelwise_loss import check_softmax

KEY = 'LogitAdjustedCrossEntropyLoss'


@MODELS.register_module()
class LogitAdjustedCrossEntropyLoss(CrossEntropyLoss):
    """Softmax cross entropy of ``logits + tau * log(prior)`` (arXiv 2007.07314, Section 5).

    The prior is the share of each class among the training pixels. Only the loss sees the
    adjusted logits; the head predicts with the raw ones, which thereby aim at balanced accuracy. ::

        loss_decode=dict(
            type='LogitAdjustedCrossEntropyLoss', frequency_file='data/ade20k_frequency.json')

    Args:
        frequency_file: JSON file of ``paco-seg statistics`` with pixel counts.
        tau: weight of the log prior, >= 0; 0 is ``CrossEntropyLoss``.
        **kwargs: as ``CrossEntropyLoss``, softmax only.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        ValueError: it has no pixel counts or a class without pixels, ``tau`` is negative, or a
            sigmoid or mask loss is asked for.
    """

    def __init__(self, *, frequency_file: str, tau: float = 1.0, **kwargs) -> None:
        super().__init__(**kwargs)
        check_softmax(
            self, KEY, 'A class prior shifts the logits of classes that exclude each other'
        )
        check_range(f'{KEY}.tau', tau, low=0.0, remedy='Use 1.0 for balanced accuracy')
        self.tau = tau
        self.frequency = load_class_frequency(frequency_file, f'{KEY}.frequency_file')
        prior = torch.from_numpy(self.frequency.prior(key=f'{KEY}.frequency_file'))
        # not in checkpoints: they stay interchangeable with those of the stock loss
        self.register_buffer('log_prior', log_class_prior(prior).float(), persistent=False)

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse a frequency file about other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        check_classes(self.frequency, classes, f'{KEY}.frequency_file')

    def forward(self, cls_score: Tensor, label: Tensor, *args, **kwargs) -> Tensor:
        """Return the loss of raw logits (N, C, ...) and labels (N, ...)."""
        if cls_score.shape[1] != len(self.log_prior):
            raise ValueError(
                f'{KEY}.frequency_file: expected {cls_score.shape[1]} classes as num_classes of '
                f'the head, got {len(self.log_prior)}. {REMEDY}'
            )
        shift = self.tau * self.log_prior.view(1, -1, *[1] * (cls_score.dim() - 2))
        # In half precision the sum would round away more than the logits have.
        adjusted = cls_score.to(compute_dtype(cls_score)) + shift
        return super().forward(adjusted, label, *args, **kwargs)

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'tau={self.tau}, {super().extra_repr()}'
