"""Seesaw loss in place of cross entropy, pixel by pixel."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_choice, check_range
from paco_seg.core.compared.seesaw import image_counts, label_counts, seesaw_loss
from paco_seg.core.distributed import all_reduce_sum
from paco_seg.engine.run_memory import RunMemory
from paco_seg.seg.compared.pixelwise_loss import PixelwiseLoss, check_softmax

KEY = 'PixelSeesawLoss'
COUNTERS = {'pixels': label_counts, 'images': image_counts}


@MODELS.register_module()
class PixelSeesawLoss(PixelwiseLoss):
    """Softmax cross entropy that spares rare classes, arXiv 2008.10032, with pixels as samples.

    Pixels of a frequent class push the logits of rare classes down less (mitigation), those that
    are taken for another class push that one down more (compensation). The frequencies are counted
    while training, over all ranks, and are no part of the state dict, so that checkpoints stay
    interchangeable with those of the stock loss; a resumed training goes on counting. ::

        loss_decode=dict(type='PixelSeesawLoss', p=0.8, q=2.0)

    The loss was made for object proposals. The released one adds an objectness to the head, counts
    on each rank alone and in float32, which stops at 2**24; this one changes no head and counts
    exactly. Its mean is that of ``CrossEntropyLoss``.

    Args:
        p: exponent of the mitigation, >= 0.
        q: exponent of the compensation, >= 0; with p = q = 0 the loss is ``CrossEntropyLoss``.
        eps: least probability of the true class in the compensation, in (0, 1].
        count_by: what is counted: 'pixels', by which the mitigation follows the area of a class, or
            'images' that hold it.
        **kwargs: as ``CrossEntropyLoss``, softmax only.

    Raises:
        ValueError: a setting is out of range, or a sigmoid or mask loss is asked for.
    """

    def __init__(
        self,
        *,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 0.01,
        count_by: str = 'pixels',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_softmax(self, KEY, 'Its factors are those of classes that exclude each other')
        check_range(f'{KEY}.p', p, low=0.0, remedy='0.8 is usual')
        check_range(f'{KEY}.q', q, low=0.0, remedy='2.0 is usual')
        check_range(f'{KEY}.eps', eps, low=0.0, high=1.0, low_open=True)
        check_choice(f'{KEY}.count_by', count_by, tuple(COUNTERS))
        self.p = p
        self.q = q
        self.eps = eps
        self.count_by = count_by
        # The number of classes is known with the first logits. No buffer: an average of the model
        # (EMAHook) is copied before, and pairs its buffers with those of the model by their order.
        self.class_counts: Tensor | None = None
        self._memory = RunMemory('seesaw_class_counts')

    def pixel_values(
        self, cls_score: Tensor, label: Tensor, class_weight: Tensor | None, ignore_index: int
    ) -> Tensor:
        """Count the labels in, and return the values of the pixels."""
        return seesaw_loss(
            cls_score,
            label,
            self._counted(label, cls_score.shape[1], ignore_index),
            p=self.p,
            q=self.q,
            eps=self.eps,
            class_weight=class_weight,
            ignore_index=ignore_index,
        )

    @torch.no_grad()
    def _counted(self, label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
        """Count this batch in, if it is one of the training, and return all that was counted."""
        if self.class_counts is None:
            self.class_counts = torch.zeros(num_classes, dtype=torch.float64)
        self.class_counts = self.class_counts.to(label.device)
        if self.training:  # a loss on validation data leaves no trace
            self._memory.restore(self.class_counts)
            inside = label.masked_fill(label == ignore_index, -1)
            self.class_counts += all_reduce_sum(COUNTERS[self.count_by](inside, num_classes))
            self._memory.keep(self.class_counts)
        # Later steps count in place, while the backward pass of this one may still be to come.
        return self.class_counts.clone()

    def extra_repr(self) -> str:
        """Return the settings, for ``print``."""
        return f'p={self.p}, q={self.q}, count_by={self.count_by}, {super().extra_repr()}'
