"""Any decode head whose predictions lose the class prior, without a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_range, compute_dtype
from paco_seg.core.frequency import (
    check_classes,
    check_num_classes,
    load_class_frequency,
    log_class_prior,
)
from paco_seg.seg.heads.branch_decode_head import BranchDecodeHead
from paco_seg.seg.heads.feature_taps import is_mask_head

KEY = 'LogitAdjustedDecodeHead'
LEAST_EVIDENCE = 1e-12


@MODELS.register_module()
class LogitAdjustedDecodeHead(BranchDecodeHead):
    """Post-hoc logit adjustment of a trained head (arXiv 2007.07314, Section 4.2).

    Predicts with ``logits - tau * log(prior)``, the prior being the share of each class among the
    training pixels. Weights, state-dict keys and losses are those of the base head, so that a
    checkpoint of cross entropy fits. Of heads that classify masks (MaskFormer, Mask2Former), whose
    prediction is the evidence that all masks give for a class, the logarithm takes the place of the
    logits.

    Args:
        base_type: name of a registered decode head; all further arguments are its own.
        frequency_file: JSON file of ``paco-seg statistics`` with pixel counts.
        tau: weight of the log prior, >= 0; 0 predicts as the base head.

    Raises:
        FileNotFoundError: ``frequency_file`` does not exist.
        ValueError: the file is of another number of classes or has a class without pixels,
            ``tau`` is negative, or the head predicts by a sigmoid of one logit.

    Example:
        >>> decode_head = dict(
        ...     type='LogitAdjustedDecodeHead',
        ...     base_type='PSPHead',
        ...     frequency_file='data/ade20k_frequency.json')
    """

    def __init__(self, *, frequency_file: str, tau: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_range(f'{KEY}.tau', tau, low=0.0, remedy='Use 1.0 for balanced accuracy')
        if self.out_channels == 1:
            raise ValueError(
                f'{KEY}.out_channels: expected one channel per class, got 1. A class prior shifts '
                'the logits of a softmax'
            )
        key = f'{KEY}.frequency_file'
        self.frequency = load_class_frequency(frequency_file, key)
        check_num_classes(self.frequency, self.num_classes, key)
        shift = tau * log_class_prior(torch.from_numpy(self.frequency.prior(key=key))).float()
        # Not in checkpoints: they stay interchangeable with those of the base head.
        self.register_buffer('logit_shift', shift.view(1, -1, 1, 1), persistent=False)

    def check_class_names(self, classes: Sequence[str]) -> None:
        """Refuse a frequency file about other classes than the training set has.

        Raises:
            ValueError: names the key, and the numbers or the first name that differs.
        """
        check_classes(self.frequency, classes, f'{KEY}.frequency_file')

    def predict(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the adjusted logits (B, C, H, W), float32 at least; arguments as of the base."""
        logits = super().predict(*args, **kwargs)
        if is_mask_head(type(self)):
            logits = logits.float().clamp(min=LEAST_EVIDENCE).log()
        # In half precision neighbours would come out equal, and the first class would win.
        return logits.to(compute_dtype(logits)) - self.logit_shift
