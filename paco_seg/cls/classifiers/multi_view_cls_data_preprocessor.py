"""Batches of several views of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from paco_seg.core.checks import check_count


@MODELS.register_module()
class MultiViewClsDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` for the views of ``MultiView`` (MMPretrain's transform).

    Normalises, pads and stacks each view as the stock class does. In training ``inputs`` becomes a
    list of V tensors (B, C, H, W), which may differ in size between views, beside the B data
    samples; with one view, and in evaluation, a tensor as in the stock class.

    Args:
        num_views: V, views of each image in training; another number in a batch is refused. 1 is
            the ordinary pipeline without ``MultiView``.
        **kwargs: of ``ClsDataPreprocessor``.

    Raises:
        TypeError: ``num_views`` is no integer.
        ValueError: it is below 1.

    Example:
        >>> view1 = view2 = [dict(type='RandomResizedCrop', scale=224)]
        >>> train_pipeline = [
        ...     dict(type='LoadImageFromFile'),
        ...     dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
        ...     dict(type='PackInputs')]
        >>> data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=2)
    """

    # It compares the views of the data set with num_views ahead of the first step.
    required_hooks = ('ClassCountHook',)

    def __init__(self, *, num_views: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count('data_preprocessor.num_views', num_views, low=1)
        self.num_views = num_views

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch.

        Args:
            data: ``inputs``: of V views, V sequences of B images (C, H, W) or V tensors
                (B, C, H, W); of one view, B images or one tensor. ``data_samples``: B samples.
            training: whether the batch is for training. Without it the views of a model in
                training mode become one batch: the statistics of MMPretrain's ``PreciseBNHook``
                are of all of them.

        Returns:
            ``inputs`` and ``data_samples``.

        Raises:
            ValueError: the batch has another number of views, or several are to be mixed.
        """
        views = _views(data['inputs'])
        found = 1 if views is None else len(views)
        # PreciseBNHook takes training batches so, while the model is one in training.
        joins = not training and self.training and found == self.num_views
        self.check_views(found, training or joins)
        if views is None:
            return super().forward(data, training)
        first, *others = views
        if training and others and self.batch_augments is not None:
            # A schedule that switches it on later escapes the look at the model.
            raise ValueError(
                f'model.train_cfg.augments: expected none with {found} views of an image. Only the '
                'first view would be mixed: take it out of the schedule (SwitchRecipeHook)'
            )
        batch = super().forward({**data, 'inputs': first}, training)
        inputs = [batch['inputs'], *map(self._preprocess_view, others)]
        if joins:
            return {**batch, 'inputs': torch.cat(inputs)}
        return {**batch, 'inputs': inputs if len(inputs) > 1 else inputs[0]}

    def check_views(self, found: int, training: bool = True) -> None:
        """Refuse another number of views than the configured one; evaluation has one.

        Args:
            found: views of each image in a batch.
            training: whether the batch is for training.

        Raises:
            ValueError: names the key, both numbers and what to change.
        """
        expected = self.num_views if training else 1
        if found != expected:
            raise ValueError(
                f'data_preprocessor.num_views: expected {expected} views of each image in '
                f'{"training" if training else "evaluation"}, got {found}. '
                + (
                    f'Give MultiView {expected} views (num_views={[1] * expected}), or set '
                    f'data_preprocessor.num_views={found}'
                    if training
                    else 'Leave MultiView out of the val and test pipelines'
                )
            )

    def _preprocess_view(self, view: Tensor | Sequence[Tensor]) -> Tensor:
        return super().forward({'inputs': view})['inputs']


def _views(inputs: Tensor | Sequence) -> Sequence | None:
    """Return the views of collated inputs, or None for inputs of an ordinary pipeline."""
    if isinstance(inputs, Tensor) or (isinstance(inputs[0], Tensor) and inputs[0].dim() == 3):
        return None
    return inputs
