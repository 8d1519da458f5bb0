"""Sum of the logits of several classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.engine.hooks.checkpoint_match_hook import load_matching


@MODELS.register_module()
class EnsembleClassifier(BaseClassifier):
    """Classifies by the sum of the logits of its members (evaluation only).

    The logits are those that each member predicts from: a head that adjusts them at test
    (:class:`LogitAdjustedClsHead`, :class:`TauNormClsHead`) has done so.

    The members see the same preprocessed images, so that they need equal input sizes and
    normalisation; their backbones may differ. ``paco-seg test CONFIG --ensemble A.pth B.pth``
    builds it around the model of any classification config.

    Args:
        members: configs of classifiers with equal numbers of classes.
        checkpoints: one checkpoint per member, in their order, or None to keep the weights.
        data_preprocessor: of all members.

    Raises:
        ValueError: no member, another number of checkpoints than members, or a checkpoint that
            does not fit its member (names it).
    """

    def __init__(
        self,
        members: Sequence[dict],
        checkpoints: Sequence[str] | None = None,
        data_preprocessor: dict | None = None,
    ):
        # in MMPretrain's registry, where the default scope is another one too
        super().__init__(
            data_preprocessor=MODELS.build(
                {'type': 'ClsDataPreprocessor', **(data_preprocessor or {})}
            )
        )
        if not members:
            raise ValueError('model.members: expected at least one classifier, got none')
        # A config may name one dict twice; building removes entries from it.
        self.members = nn.ModuleList(MODELS.build(deepcopy(member)) for member in members)
        if checkpoints is None:
            return
        if len(checkpoints) != len(self.members):
            raise ValueError(
                f'--ensemble: expected {len(self.members)} checkpoints, one per member, got '
                f'{len(checkpoints)}. Give them in the order of model.members'
            )
        for member, path in zip(self.members, checkpoints, strict=True):
            checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
            try:
                load_matching(member, checkpoint, 'inference')
            except ValueError as error:
                raise ValueError(f'--ensemble {path}: {error}') from None

    def _members(self) -> list[Any]:
        return list(self.members)

    @property
    def head(self) -> Any:
        """Head of the first member, for whoever asks for the number of classes."""
        return self._members()[0].head

    def extract_feat(self, inputs: Tensor) -> list:
        """Extract the features of every member, as its head takes them."""
        return [member.extract_feat(inputs) for member in self._members()]

    def forward(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | list[DataSample]:
        """Sum the logits.

        Args:
            inputs: (N, 3, H, W), preprocessed.
            data_samples: filled with the predictions, in the mode 'predict'.
            mode: 'tensor' (summed logits, (N, C)) or 'predict'.

        Raises:
            RuntimeError: another mode: an ensemble is not trained.
            ValueError: the members have different numbers of classes.
        """
        if mode not in ('tensor', 'predict'):
            raise RuntimeError(
                f'mode: expected tensor or predict, got {mode!r}. An ensemble is not trained: '
                'train its members'
            )
        logits = [member(inputs, mode='tensor') for member in self._members()]
        if len({score.shape for score in logits}) > 1:
            raise ValueError(
                'model.members: expected equal numbers of classes, got '
                f'{[score.shape[-1] for score in logits]}'
            )
        total = torch.stack(logits).sum(dim=0)
        if mode == 'tensor':
            return total
        return self.head._get_predictions(total, data_samples)
