"""Online hard example mining: only the pixels that are classified worst count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmseg.models.decode_heads.knet_head import IterativeDecodeHead
from mmseg.models.decode_heads.point_head import PointHead

from paco_seg.core.checks import check_count
from paco_seg.engine.model_changes import ModelChange, replacing, type_name
from paco_seg.engine.systems import SystemInputs, TrainingSystem, refusal
from paco_seg.seg.systems.heads import (
    HARD_PIXELS,
    IMPORTS,
    SETTINGS,
    change_heads,
    pixel_classifier,
    takes_losses_by_place,
)

KEY = 'ohem'
# Of areas, of boundaries, or with a weight per class in the place of one per pixel.
UNWEIGHTED = ('DiceLoss', 'FocalLoss', 'BoundaryLoss', 'SoftmaxDiceLoss', 'SquareAUCLoss')
# MMSegmentation's own configs keep 100 000 of the 512 x 1024 pixels of a crop.
KEPT, KEPT_SHARE = 100_000, 100_000 / (512 * 1024)


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the heads that get MMSegmentation's ``OHEMPixelSampler``."""
    kept = settings['min_kept'] or _kept_of_crop(cfg)
    check_count(f'{KEY}.min_kept', kept, low=2)
    sampler = dict(type='OHEMPixelSampler', thresh=settings['thresh'], min_kept=kept)

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        base = pixel_classifier(key, head)
        if issubclass(base, PointHead):
            raise refusal(
                f'{key}.type',
                'a head that weights its pixels',
                head['type'],
                'PointRend chooses hard points itself; set heads=all for the head before it',
            )
        if takes_losses_by_place(base):
            raise refusal(
                f'{key}.type',
                'a head that weights its pixels',
                head['type'],
                'It has hard example mining of its own (OhemCrossEntropy)',
            )
        if issubclass(base, IterativeDecodeHead):  # K-Net computes its losses with the inner head
            inner = head['kernel_generate_head']
            check_losses(f'{key}.kernel_generate_head', inner)
            return dict(kernel_generate_head=dict(sampler=replacing(inner, 'sampler', sampler)))
        check_losses(key, head)
        return dict(sampler=replacing(head, 'sampler', sampler))

    return change_heads(cfg, settings['heads'], settings_of)


def check_losses(key: str, head: Mapping[str, Any]) -> None:
    """Refuse losses that end in an assertion where pixels have weights.

    Raises:
        ValueError: names the key and the loss.
    """
    losses = head.get('loss_decode') or ()
    for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
        if type_name(loss) in UNWEIGHTED:
            raise refusal(
                f'{key}.loss_decode',
                'losses that take weights of pixels',
                loss['type'],
                'Hard example mining weights the pixels: leave that loss out',
            )


def _kept_of_crop(cfg: Config) -> int:
    """Return the same share of a crop as MMSegmentation's configs keep."""
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    size = preprocessor.get('size') or cfg.get('crop_size')
    if size is None:
        return KEPT
    height, width = (size, size) if isinstance(size, int) else size
    return max(2, round(height * width * KEPT_SHARE))


SYSTEM = TrainingSystem(
    name=KEY,
    title='OHEM',
    paper='Shrivastava et al., Online Hard Example Mining, CVPR 2016 (arXiv 1604.03540)',
    summary='the losses of the config on the pixels of low confidence alone',
    change=change,
    imports=IMPORTS,
    acts_on=HARD_PIXELS,
    settings=dict(SETTINGS, thresh=0.7, min_kept=None),
    search=dict(thresh=(0.7, 0.9)),
)
