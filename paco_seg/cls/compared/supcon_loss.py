"""Supervised contrastive loss over the batch of all processes."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_bool, check_choice, check_range
from paco_seg.core.compared.supcon import supcon_loss
from paco_seg.core.contrast import IMPLEMENTATIONS
from paco_seg.core.distributed import other_rows

KEY = 'SupConLoss'


@MODELS.register_module()
class SupConLoss(nn.Module):
    """Supervised contrastive loss of a batch (arXiv 2004.11362, eq. 2).

    The equation is in :func:`paco_seg.core.compared.supcon.supcon_loss`. An anchor sees the rows
    of all processes, and gradient flows to them, so that R processes with B rows each have the
    loss of one with R B rows.

    Args:
        temperature: > 0.
        base_temperature: > 0; None = ``temperature`` (factor 1).
        gather: False contrasts within each process, as the released code does under DDP.
        loss_weight: factor of the loss.
        impl: 'auto', 'dense' or 'streaming', see the core.

    Raises:
        ValueError: a setting is out of range; the message starts with ``SupConLoss.<key>``.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        gather: bool = True,
        loss_weight: float = 1.0,
        impl: str = 'auto',
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        if base_temperature is not None:
            check_range(f'{KEY}.base_temperature', base_temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_bool(f'{KEY}.gather', gather)
        check_choice(f'{KEY}.impl', impl, IMPLEMENTATIONS)
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.gather = gather
        self.loss_weight = loss_weight
        self.impl = impl

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the anchors of this process.

        Args:
            embeddings: (N, D) unit rows, all views of all images.
            labels: (N,) integer >= 0.

        Returns:
            Scalar; anchors without a positive give 0 and count in the mean.
        """
        keys = {}
        if self.gather:
            keys = dict(keys=other_rows(embeddings), key_labels=other_rows(labels))
        values = supcon_loss(
            embeddings,
            labels,
            temperature=self.temperature,
            base_temperature=self.base_temperature,
            impl=self.impl,
            **keys,
        )
        return self.loss_weight * values.mean()
