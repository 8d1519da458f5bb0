"""A linear classifier that takes pooled features and says so."""

from __future__ import annotations

from typing import Any

from mmpretrain.evaluation.metrics import Accuracy
from mmpretrain.models.heads import LinearClsHead
from torch import Tensor

from paco_seg.cls.heads.features import pooled_features
from paco_seg.cls.heads.linear_keys import rename_linear_keys


class PooledClsHead(LinearClsHead):
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

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        rename_linear_keys(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
