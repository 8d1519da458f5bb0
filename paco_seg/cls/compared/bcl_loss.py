"""Balanced contrastive loss over the batch of all processes."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_bool, check_range
from paco_seg.core.compared.bcl import bcl_loss
from paco_seg.core.distributed import other_rows, row_counts

KEY = 'BCLLoss'


@MODELS.register_module()
class BCLLoss(nn.Module):
    """Balanced contrastive loss of a batch and the class prototypes (arXiv 2207.09052).

    The equation is in :func:`paco_seg.core.compared.bcl.bcl_loss`. An anchor sees the rows of all
    processes, and gradient flows to them, so that R processes with B rows each have the loss of
    one with R B rows; the prototypes are in the contrast set once.

    Args:
        temperature: > 0.
        class_averaging: False lets a class enter the denominator with its sum.
        class_complement: False leaves the prototypes out.
        gather: False contrasts within each process, as the released code does in
            ``DistributedDataParallel``.
        loss_weight: factor of the loss; the recipes have 0.35, and 0.6 beside a cross entropy with
            the factor 2 on CIFAR.

    Raises:
        ValueError: a setting is out of range; the message starts with ``BCLLoss.<key>``.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        class_averaging: bool = True,
        class_complement: bool = True,
        gather: bool = True,
        loss_weight: float = 0.35,
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_bool(f'{KEY}.class_averaging', class_averaging)
        check_bool(f'{KEY}.class_complement', class_complement)
        check_bool(f'{KEY}.gather', gather)
        self.temperature = temperature
        self.class_averaging = class_averaging
        self.class_complement = class_complement
        self.gather = gather
        self.loss_weight = loss_weight

    def forward(self, embeddings: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        """Return the mean over the anchors of this process.

        Args:
            embeddings: (N, D) unit rows, all views of all images.
            labels: (N,) integer in [0, C).
            prototypes: (C, D) unit rows, equal in all processes.

        Returns:
            Scalar.
        """
        keys = {}
        if self.gather:
            counts = row_counts(labels)
            keys = dict(keys=other_rows(embeddings, counts), key_labels=other_rows(labels, counts))
        values = bcl_loss(
            embeddings,
            labels,
            prototypes,
            temperature=self.temperature,
            class_averaging=self.class_averaging,
            class_complement=self.class_complement,
            **keys,
        )
        return self.loss_weight * values.mean()
