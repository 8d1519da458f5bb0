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
        meta = load_weights(self.inferencer.model, checkpoint)
        names, self.palette = class_names(meta, cfg)
        head: Any = self.inferencer.model.decode_head
        head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
        self.classes = named(names, head.num_classes, checkpoint)

    def __call__(self, image: str | np.ndarray) -> Prediction:
        """Predict a file or a picture, (H, W, 3) BGR uint8."""
        (batch,) = self.inferencer.preprocess([image])
        (sample,) = self.inferencer.forward(batch)
        labels = sample.pred_sem_seg.data[0]
        logits = sample.seg_logits.data.float()
        if len(logits) == 1:  # one logit of a foreground class
            foreground = logits[0].sigmoid()
            confidence = torch.maximum(foreground, 1 - foreground)
        else:
            confidence = logits.softmax(dim=0).amax(dim=0)
        return summarise_pixels(
            labels.cpu().numpy().astype(np.int64), confidence.cpu().numpy(), len(self.classes)
        )


def _loads_labels(step: dict) -> bool:
    """Tell whether a step reads a label map; the inferencer knows the stock ones alone."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        kind = TRANSFORMS.get(step['type']) if isinstance(step['type'], str) else step['type']
    return isinstance(kind, type) and issubclass(kind, LoadAnnotations)
