"""Stage two of two-stage training: only the head learns."""

from __future__ import annotations

import os
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class FrozenFeatureClassifier(ImageClassifier):
    """``ImageClassifier`` whose backbone and neck are fixed: cRT, LWS, linear stage of SupCon.

    They take no gradient and stay in evaluation mode, so that the statistics of BatchNorm are
    those of stage one. Give their weights by ``stage_one`` or ``backbone.init_cfg`` (a new
    classifier), or by ``load_from`` (the classifier of stage one as well).

    Args:
        backbone: config, as all further arguments of ``ImageClassifier``.
        stage_one: checkpoint of a whole classifier, whose backbone and neck are loaded before
            the training instead of their own pretrained weights. A resumed training does without
            (:class:`StageOneHook`).
        **kwargs: ``neck``, ``head``, ``data_preprocessor`` and so on.

    Raises:
        TypeError: ``stage_one`` is no name of a file.

    Example:
        >>> model = dict(type='FrozenFeatureClassifier', stage_one='stage_one.pth')
    """

    required_hooks = ('StageOneHook',)

    def __init__(self, backbone: dict, *, stage_one: str | None = None, **kwargs: Any) -> None:
        if not isinstance(stage_one, str) and stage_one is not None:
            raise TypeError(
                f'model.stage_one: expected the name of a checkpoint, or None, got {stage_one!r}'
            )
        super().__init__(backbone, **kwargs)
        self.stage_one = stage_one
        for part in self._frozen():
            part.requires_grad_(False)
            if stage_one is not None and _is_pretrained(getattr(part, 'init_cfg', None)):
                part.init_cfg = None  # would be downloaded in vain

    def init_weights(self) -> None:
        """Initialise the head, and load backbone and neck of stage one.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            ValueError: it is that of another backbone or neck.
        """
        super().init_weights()
        if self.stage_one is None:
            return
        try:
            checkpoint = CheckpointLoader.load_checkpoint(self.stage_one, map_location='cpu')
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'model.stage_one: expected an existing file, got {self.stage_one!r}. Set it to a '
                'checkpoint of the same classifier, trained in stage one; a relative path is '
                f'relative to {os.getcwd()}'
            ) from error
        saved = checkpoint.get('state_dict', checkpoint)
        parts = ('backbone.', 'neck.')
        state = {key.removeprefix('module.'): value for key, value in saved.items()}
        state = {key: value for key, value in state.items() if key.startswith(parts)}
        try:
            missing, _ = self.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise _misfit(self.stage_one, str(error).splitlines()[-1].strip()) from None
        missing = [key for key in missing if key.startswith(parts)]
        missing = [key for key in missing if not key.endswith('num_batches_tracked')]
        if missing:
            raise _misfit(self.stage_one, f'one without {", ".join(missing[:3])}')

    def train(self, mode: bool = True) -> FrozenFeatureClassifier:
        """Set the training mode of the head alone."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict:
        """Compute the loss on features without gradient; arguments as in ``ImageClassifier``."""
        with torch.no_grad():
            feats = self.extract_feat(inputs)
        return self.head.loss(feats, data_samples)

    def _frozen(self) -> list[Any]:
        return [self.backbone, self.neck] if self.with_neck else [self.backbone]


def _is_pretrained(init_cfg: Any) -> bool:
    parts = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(isinstance(part, dict) and part.get('type') == 'Pretrained' for part in parts)


def _misfit(path: str, found: str) -> ValueError:
    return ValueError(
        f'model.stage_one: expected the weights of this backbone and neck in {path!r}, got '
        f'{found}. Give a checkpoint of the same classifier, trained in stage one'
    )
