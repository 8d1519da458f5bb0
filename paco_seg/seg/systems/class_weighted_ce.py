"""Cross entropy with a weight per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mmseg
import torch
from mmengine.config import Config
from mmengine.utils import digit_version

from paco_seg.core.compared.class_weights import WEIGHTINGS, class_weights
from paco_seg.core.frequency import check_num_classes
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import FREQUENCY, IMPORTS, SETTINGS, change_heads, with_losses

KEY = 'class-weighted-ce.frequency_file'
DIGITS = 6  # of a weight in the written config


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies with ``class_weight``."""
    frequency = inputs.class_frequency(KEY)
    # The pixels of an image are far too alike to be counted as so many samples.
    by = 'pixels' if settings['weights'] == 'inverse' else 'images'
    weights = class_weights(
        torch.from_numpy(frequency.counts(by, KEY)),
        weighting=settings['weights'],
        beta=settings['beta'],
    )
    rounded = [float(f'{weight:.{DIGITS}g}') for weight in weights.tolist()]

    def weighted(loss: dict[str, Any]) -> list[dict[str, Any]]:
        # With weights MMSegmentation leaves ignored pixels out of its mean in any case, and its
        # code for both settings together cannot run.
        loss.pop('avg_non_ignore', None)
        if digit_version(mmseg.__version__) < digit_version('1.3'):
            # Its cross entropy looks for the weight of label 255 and ends with an IndexError
            # (open-mmlab/mmsegmentation issue 3734); focal loss with gamma 0 is the same function.
            loss.update(type='SoftmaxFocalLoss', gamma=0.0)
        return [dict(loss, class_weight=rounded)]

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        if head.get('num_classes') is not None:
            check_num_classes(frequency, head['num_classes'], KEY)
        return with_losses(key, head, weighted)

    return change_heads(cfg, settings['heads'], settings_of)


SYSTEM = TrainingSystem(
    name='class-weighted-ce',
    title='CE, class weights',
    paper='Cui et al., Class-Balanced Loss, CVPR 2019 (arXiv 1901.05555) for the effective number',
    summary='cross entropy with weights by inverse pixel frequency, or by inverse effective number '
    'of images',
    change=change,
    imports=IMPORTS,
    acts_on=FREQUENCY,
    settings=dict(SETTINGS, weights='inverse', beta=0.999),
    search=dict(weights=WEIGHTINGS),
    needs=Needs(class_frequencies=True),
    combines_with=('gpaco',),
)
