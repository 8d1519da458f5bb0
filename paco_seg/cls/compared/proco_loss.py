"""Probabilistic contrast with running class distributions."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core.checks import check_count, check_range
from paco_seg.core.compared.balanced_softmax import balanced_softmax_loss
from paco_seg.core.compared.proco import VMFMoments, vmf_logits

KEY = 'ProCoLoss'


@MODELS.register_module()
class ProCoLoss(nn.Module):
    """``CE(contrast logits + log prior)`` with vMF distributions of the classes (arXiv 2403.06726).

    The contrast logits are in :func:`paco_seg.core.compared.proco.vmf_logits`. In training the
    embeddings of all processes enter the moments before they are scored, so that R processes with
    B rows each have the loss of one with R B rows. The moments are buffers.

    Args:
        num_classes: C.
        channels: p of the embeddings, >= 2.
        temperature: > 0; the recipes use 0.1 (CIFAR) and 0.07.
        class_prior: as in :class:`BalancedSoftmaxLoss`.
        loss_weight: factor of the loss.

    Raises:
        ValueError: a setting is out of range; the message starts with ``ProCoLoss.<key>``.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: int,
        temperature: float = 0.1,
        class_prior: str | Sequence[float] = 'auto',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_count(f'{KEY}.num_classes', num_classes, low=1)
        check_count(f'{KEY}.channels', channels, low=2)
        self.class_prior = ClassCounts(class_prior, f'{KEY}.class_prior')
        self.moments = VMFMoments(num_classes, channels)
        self.temperature = temperature
        self.loss_weight = loss_weight
        self._knows_epoch = False

    def set_progress(self, epoch: float, max_epochs: float) -> None:
        """Start the moments of an epoch; called by :class:`TrainingProgressHook`."""
        self._knows_epoch = True
        self.moments.start_epoch(int(epoch))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the embeddings of this process.

        Args:
            embeddings: (N, p) unit rows, all views of all images.
            labels: (N,) integer in [0, C).

        Returns:
            Scalar.

        Raises:
            ValueError: the epoch or the class prior is missing, or a label is no class.
        """
        if not self._knows_epoch:
            raise ValueError(
                f'{KEY}: expected to be told the epoch before the first step. Add '
                "custom_hooks=[dict(type='TrainingProgressHook')]"
            )
        if self.training:  # a loss on validation data leaves no trace
            self.moments.update(embeddings, labels)
        directions, concentrations = self.moments.distributions()
        logits = vmf_logits(embeddings, directions, concentrations, temperature=self.temperature)
        return self.loss_weight * balanced_softmax_loss(logits, labels, self.class_prior()).mean()
