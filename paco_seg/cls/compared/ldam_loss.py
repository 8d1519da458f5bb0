"""LDAM with deferred re-weighting."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core.checks import check_count, check_range
from paco_seg.core.compared.ldam import class_weighted_mean, drw_weights, ldam_loss, ldam_margins

KEY = 'model.head.loss'


@MODELS.register_module()
class LDAMLoss(nn.Module):
    """Margins by class frequency on cosines, re-weighted late (arXiv 1906.07413).

    For :class:`LDAMClsHead`, whose logits are cosines.

    Args:
        class_counts: counts of the training set: ``'auto'`` (through :class:`ClassCountHook`), a
            list, or a JSON file with such a list.
        max_margin: margin of the rarest class, in units of the cosine, > 0.
        scale: factor on the cosines, > 0.
        drw_start_epoch: first epoch (from 0) of the re-weighting, which lasts to the end; None =
            never. It needs :class:`TrainingProgressHook`.
        drw_start_share: share of the training after which the re-weighting starts, in [0, 1), for
            trainings of any length, by epochs or iterations; with ``drw_start_epoch=None``.
        drw_beta: of the effective number of samples, in [0, 1).
        loss_weight: factor of the loss.

    Raises:
        ValueError: a setting is out of range; the message starts with ``model.head.loss.<key>``.
    """

    required_hooks = ('TrainingProgressHook',)

    def __init__(
        self,
        *,
        class_counts: str | Sequence[float] = 'auto',
        max_margin: float = 0.5,
        scale: float = 30.0,
        drw_start_epoch: int | None = 160,
        drw_start_share: float | None = None,
        drw_beta: float = 0.9999,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range(f'{KEY}.max_margin', max_margin, low=0.0, low_open=True)
        check_range(f'{KEY}.scale', scale, low=0.0, low_open=True)
        check_range(f'{KEY}.drw_beta', drw_beta, low=0.0, high=1.0 - 1e-12)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        if drw_start_epoch is not None:
            check_count(f'{KEY}.drw_start_epoch', drw_start_epoch)
        if drw_start_share is not None:
            check_range(f'{KEY}.drw_start_share', drw_start_share, low=0.0, high=1.0 - 1e-12)
            if drw_start_epoch is not None:
                raise ValueError(
                    f'{KEY}.drw_start_epoch: expected None with drw_start_share='
                    f'{drw_start_share}, got {drw_start_epoch}. Give one start of the re-weighting'
                )
        self.class_counts = ClassCounts(class_counts, f'{KEY}.class_counts')
        if drw_start_epoch is not None or drw_start_share is not None:
            self.class_counts.check_counts('the re-weighting')
        self.max_margin = max_margin
        self.scale = scale
        self.drw_start_epoch = drw_start_epoch
        self.drw_start_share = drw_start_share
        self.drw_beta = drw_beta
        self.loss_weight = loss_weight
        self.epoch: float | None = None
        self._start_epoch: float | None = drw_start_epoch

    def set_progress(self, epoch: float, max_epochs: float) -> None:
        """Take the current epoch; called by :class:`TrainingProgressHook`.

        Raises:
            ValueError: the training ends before the re-weighting starts.
        """
        if self.drw_start_epoch is not None and self.drw_start_epoch >= max_epochs:
            raise ValueError(
                f'{KEY}.drw_start_epoch: expected an epoch before the end of the training '
                f'({max_epochs:g}), got {self.drw_start_epoch}. Set it to about 0.8 of '
                'train_cfg.max_epochs, or to None for LDAM without re-weighting'
            )
        if self.drw_start_share is None:
            self.epoch = int(epoch)
        else:
            # 0.55 * 100 is a little more than 55: the re-weighting would start an epoch late.
            self.epoch = round(epoch, 6)
            self._start_epoch = round(self.drw_start_share * max_epochs, 6)

    def forward(self, cosines: Tensor, label: Tensor) -> Tensor:
        """Return the weighted mean of a batch.

        Args:
            cosines: (N, C) in [-1, 1].
            label: (N,) integer in [0, C).

        Returns:
            Scalar.

        Raises:
            ValueError: 'auto' that nobody has filled, counts of another length, a label that is
                no class, or an epoch that nobody has told.
        """
        self.class_counts.check_length(cosines.shape[1])
        counts = self.class_counts()
        values = ldam_loss(cosines, label, ldam_margins(counts, self.max_margin), scale=self.scale)
        return self.loss_weight * class_weighted_mean(values, label, self._weights(counts))

    def _weights(self, counts: Tensor) -> Tensor:
        if self.drw_start_epoch is None and self.drw_start_share is None:
            return counts.new_ones(len(counts))
        if self.epoch is None or self._start_epoch is None:
            name = 'drw_start_epoch' if self.drw_start_share is None else 'drw_start_share'
            raise ValueError(
                f'{KEY}.{name}: expected to be told the epoch before the first step. Add '
                f"custom_hooks=[dict(type='TrainingProgressHook')], or set {name}=None"
            )
        return drw_weights(counts, self.epoch, start_epoch=self._start_epoch, beta=self.drw_beta)
