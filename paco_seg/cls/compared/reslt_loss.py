"""ResLT: specialisation and fusion loss of three residual branches."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from paco_seg.cls.losses.class_counts import ClassCounts
from paco_seg.core.checks import check_count, check_range
from paco_seg.core.compared.reslt import nested_class_groups, reslt_loss

KEY = 'model.head.loss'


@MODELS.register_module()
class ResLTLoss(nn.Module):
    """``alpha * specialisation + (1 - alpha) * fusion`` (arXiv 2101.10633, section 3).

    The classes of each branch follow from the counts, which are a buffer: labels are never
    renumbered, and equal counts are ranked the same way everywhere.

    Args:
        groups: classes of the second branch (the rarest, medium and tail) and of the third branch
            (the rarest of them); 0 leaves the branch out.
        alpha: weight of the specialisation, in [0, 1] (``beta`` in the released code).
        class_counts: counts of the training set: ``'auto'`` (through :class:`ClassCountHook`), a
            list, or a JSON file with such a list.
        loss_weight: factor of the loss.

    Raises:
        ValueError: a setting is out of range; the message starts with ``model.head.loss.<key>``.
    """

    def __init__(
        self,
        *,
        groups: Sequence[int],
        alpha: float = 0.99,
        class_counts: str | Sequence[float] = 'auto',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if len(groups) != 2:
            raise ValueError(
                f'{KEY}.groups: expected two numbers of classes (medium and tail, tail), got '
                f'{tuple(groups)}'
            )
        check_count(f'{KEY}.groups[0]', groups[0])
        check_count(f'{KEY}.groups[1]', groups[1], high=groups[0])
        check_range(f'{KEY}.alpha', alpha, low=0.0, high=1.0)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        self.groups = tuple(groups)
        self.alpha = alpha
        self.class_counts = ClassCounts(class_counts, f'{KEY}.class_counts')
        self.loss_weight = loss_weight

    @property
    def num_branches(self) -> int:
        """Branches that have a class to be trained on: they make the prediction."""
        return 1 + sum(size > 0 for size in self.groups)

    def group_masks(self) -> Tensor:
        """Return (3, C) bool, the classes of the head, medium and tail branch."""
        medium_and_tail, tail = self.groups
        return nested_class_groups(self.class_counts(), medium_and_tail=medium_and_tail, tail=tail)

    def forward(self, branch_logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of the logits of all branches.

        Args:
            branch_logits: (3, N, C).
            label: (N,) integer in [0, C).

        Returns:
            Scalar.

        Raises:
            ValueError: 'auto' that nobody has filled, counts of another length, or a label that
                is no class.
        """
        self.class_counts.check_length(branch_logits.shape[2])
        return self.loss_weight * reslt_loss(
            branch_logits, label, self.group_masks(), alpha=self.alpha
        )
