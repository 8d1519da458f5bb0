"""Predictions of a segmentor, through MMSegmentation's inferencer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.apis import MMSegInferencer
from mmseg.registry import TRANSFORMS

from paco_seg.engine.prediction import (
    Prediction,
    class_names,
    config_for_inferencer,
    load_weights,
    named,
    summarise_pixels,
)
from paco_seg.seg.compared.logit_adjusted_decode_head import LogitAdjustedDecodeHead
from paco_seg.seg.heads.feature_taps import is_mask_head


class SegmentationPredictor:
    """A trained segmentor, one image at a time.

    Args:
        cfg: config of the training.
        checkpoint: file of its weights.
        device: where it runs.

    Attributes:
        classes: C names.
        palette: C colours, or None.

    Raises:
        ValueError: the checkpoint is of another model, or the config has no test pipeline.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        bare = config_for_inferencer(cfg, str(cfg.filename))
        test_set = bare.test_dataloader.dataset
        test_set.pipeline = [step for step in test_set.pipeline if not _loads_labels(step)]
        with warnings.catch_warnings():
            # It says that no weights were given, and takes the classes of Cityscapes for these.
            warnings.simplefilter('ignore')
            self.inferencer = MMSegInferencer(bare, device=device, show_progress=False)
        meta = load_weights(self.inferencer.model, checkpoint, cfg)
        names, self.palette = class_names(meta, cfg)
        head: Any = self.inferencer.model.decode_head
        head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
        # Of masks there is evidence for each class, 0 at least, and no logit.
        self.is_evidence = is_mask_head(type(head)) and not isinstance(
            head, LogitAdjustedDecodeHead
        )
        self.classes = named(names, head.num_classes, checkpoint)

    def __call__(self, image: str | np.ndarray) -> Prediction:
        """Predict a file or a picture, (H, W, 3) BGR uint8."""
        (batch,) = self.inferencer.preprocess([image])
        (sample,) = self.inferencer.forward(batch)
        labels = sample.pred_sem_seg.data[0]
        logits = sample.seg_logits.data.float()
        confidence = confidence_of(logits, is_evidence=self.is_evidence)
        return summarise_pixels(
            labels.cpu().numpy().astype(np.int64), confidence.cpu().numpy(), len(self.classes)
        )


def confidence_of(logits: torch.Tensor, *, is_evidence: bool) -> torch.Tensor:
    """Return the share of the predicted class, (H, W).

    Args:
        logits: (C, H, W); of one channel, the logit of a foreground class.
        is_evidence: whether they are no logits but the evidence of masks for each class, >= 0.
    """
    if len(logits) == 1:
        foreground = logits[0].sigmoid()
        return torch.maximum(foreground, 1 - foreground)
    if is_evidence:
        total = logits.sum(dim=0).clamp(min=torch.finfo(logits.dtype).tiny)
        return (logits / total).amax(dim=0)
    return logits.softmax(dim=0).amax(dim=0)


def _loads_labels(step: dict) -> bool:
    """Tell whether a step reads a label map; the inferencer knows the stock ones alone."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        kind = TRANSFORMS.get(step['type']) if isinstance(step['type'], str) else step['type']
    return isinstance(kind, type) and issubclass(kind, LoadAnnotations)
