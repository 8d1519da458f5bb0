"""A segmentor as a function from images to scores, for export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from paco_seg.engine.prediction import build_trained, class_names, named
from paco_seg.seg.stock_config import input_shape


class SegmentationScores(nn.Module):
    """Images as the preprocessor returns them -> logits of every pixel, (N, C, H, W).

    What the head does at inference (a log prior, a bias of the image) is in it.

    Args:
        cfg: config of the training.
        checkpoint: file of its weights.
        size: (H, W); None = that of the config.

    Attributes:
        shape: (channels, H, W) of an image.
        classes: C names.
    """

    def __init__(self, cfg: Config, checkpoint: str, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        model, meta = build_trained(cfg, checkpoint)
        head: Any = model.decode_head
        head = head[-1] if isinstance(head, nn.ModuleList) else head
        # Training only; the file would carry their weights.
        model.auxiliary_head = None
        for module in model.modules():
            if 'training_branches' in module._modules:
                module.training_branches = nn.ModuleDict()
        self.model = model
        channels, *usual = input_shape(cfg)
        self.shape = (channels, *(size or usual))
        names, _ = class_names(meta, cfg)
        self.classes = named(names, head.num_classes, checkpoint)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H, W); one channel where the head has one logit of a foreground."""
        return predicted_scores(self.model, images, self.shape[1:])


def predicted_scores(model: Any, images: Tensor, size: Sequence[int]) -> Tensor:
    """Return the logits that a segmentor predicts from, (N, C, H, W).

    Not those of ``mode='tensor'``, which leave out what a head does in ``predict()``, such as a
    log prior.

    Args:
        model: a segmentor.
        images: (N, 3, H, W), as the preprocessor returns them.
        size: (H, W).
    """
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, padding_size=[0] * 4)
    # MMSegmentation reads the first of them; their number would fix that of the images.
    scores: Tensor = model.encode_decode(images, [meta])
    return scores
