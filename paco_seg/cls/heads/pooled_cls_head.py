"""A linear classifier that takes pooled features and says so."""

from __future__ import annotations

from mmpretrain.evaluation.metrics import Accuracy
from torch import Tensor

from paco_seg.cls.heads.features import pooled_features
from paco_seg.cls.heads.linear_keys import AnyLinearClsHead


class PooledClsHead(AnyLinearClsHead):
    """What the heads of this package add to ``LinearClsHead``; arguments are its own."""

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return the pooled feature of the last stage, (N, D).

        Raises:
            ValueError: it is not pooled, or of another width.
        """
        return pooled_features(feats, self.in_channels)

    def accuracies(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the accuracy for each of ``topk`` with ``cal_acc``, else nothing.

        Args:
            logits: (N, C).
            labels: (N,).
        """
        if not self.cal_acc:
            return {}
        # without a threshold: by default only logits above 0 count as predictions
        found = Accuracy.calculate(logits, labels, topk=self.topk, thrs=(None,))
        return {f'accuracy_top-{k}': value for k, value in zip(self.topk, found, strict=True)}
