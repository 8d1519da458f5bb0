"""Predictions of a classifier, through MMPretrain's inferencer."""

from __future__ import annotations

import mmcv
import numpy as np
from mmengine.config import Config
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.registry import TRANSFORMS

from paco_seg.engine.prediction import (
    Prediction,
    class_names,
    config_for_inferencer,
    load_weights,
    named,
)


class ClassificationPredictor:
    """A trained classifier, one image at a time.

    Args:
        cfg: config of the training.
        checkpoint: file of its weights.
        device: where it runs.

    Attributes:
        classes: C names; known after the first image where neither the checkpoint nor the config
            has them.
        palette: None.

    Raises:
        ValueError: the checkpoint is of another model, or the config has no test pipeline.
    """

    palette = None

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        self.checkpoint = checkpoint
        bare = config_for_inferencer(cfg, str(cfg.filename))
        # MMPretrain's inferencer reads every file as colour, whatever the pipeline says.
        steps = bare.test_dataloader.dataset.pipeline
        preprocessor = bare.model.get('data_preprocessor') or bare.get('data_preprocessor') or {}
        mean, std = preprocessor.get('mean'), preprocessor.get('std')
        # One value each, of one channel: a single number may be meant for three.
        self._is_grey = all(isinstance(v, (list, tuple)) and len(v) == 1 for v in (mean, std))
        loading = [step for step in steps if step['type'] == 'LoadImageFromFile']
        self._load = TRANSFORMS.build(loading[0]) if loading else None
        self.inferencer = ImageClassificationInferencer(bare, pretrained=False, device=device)
        self.classes: list[str] | None
        meta = load_weights(self.inferencer.model, checkpoint, cfg)
        self.classes, _ = class_names(meta, cfg)

    def __call__(self, image: str | np.ndarray) -> Prediction:
        """Predict a file or a picture, (H, W, 3) BGR uint8."""
        if self._load is None:
            # Data sets in memory, such as CIFAR, are RGB: their pipelines load nothing.
            pixels = mmcv.imread(image, 'color') if isinstance(image, str) else image
            image = np.ascontiguousarray(pixels[..., ::-1])
            if self._is_grey:
                image = mmcv.rgb2gray(image, keepdim=True)
        elif isinstance(image, str):
            image = self._load(dict(img_path=image))['img']
        (batch,) = self.inferencer.preprocess([image])
        (sample,) = self.inferencer.forward(batch)
        scores = sample.pred_score.cpu().numpy()
        self.classes = named(self.classes, len(scores), self.checkpoint)
        return Prediction(probabilities=scores)
