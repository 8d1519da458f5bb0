"""A classifier as a function from images to scores, for export."""

from __future__ import annotations

import torch
from mmengine.config import Config
from torch import Tensor, nn

from paco_seg.engine.prediction import build_trained, class_names, named

# Height and width where neither the command nor the test pipeline says one.
USUAL = 224


class ClassificationScores(nn.Module):
    """Images as the preprocessor returns them -> logits of the classes, (N, C).

    Args:
        cfg: config of the training.
        checkpoint: file of its weights.
        size: (H, W); None = 224 x 224.

    Attributes:
        shape: (channels, H, W) of an image.
        classes: C names.

    Raises:
        ValueError: the head predicts from something else than these logits.
    """

    def __init__(self, cfg: Config, checkpoint: str, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.model, meta = build_trained(cfg, checkpoint)
        preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
        mean = preprocessor.get('mean') or [0.0] * 3
        self.shape = (len(mean), *(size or (USUAL, USUAL)))
        names, _ = class_names(meta, cfg)
        example = torch.randn(2, *self.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            scores = self(example)
            wanted = torch.stack([sample.pred_score for sample in self.model.predict(example)])
        if scores.shape != wanted.shape or not torch.allclose(
            scores.softmax(dim=1), wanted, atol=1e-5
        ):
            raise ValueError(
                f'model.head.type: expected a head that predicts the softmax of its logits, got '
                f'{type(self.model.head).__name__}. Export the backbone alone'
            )
        self.classes = named(names, scores.shape[1], checkpoint)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C)."""
        scores: Tensor = self.model(images, mode='tensor')
        return scores
