"""GPaCo: pixels are contrasted with each other and with the class centers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.core.frequency import load_class_frequency
from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem
from paco_seg.seg.systems import log_prior
from paco_seg.seg.systems.heads import IMPORTS, SETTINGS, Attachment, change_heads, with_branch

ATTACHED = Attachment('GPaCoDecodeHead', ('loss_contrast',), 'PixelGPaCoLoss')


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the heads that get projector and contrastive loss.

    A head that has them keeps its settings but for those that are given. Where pixels were counted
    ``alpha`` of others is 'auto' unless it is given, for the paper's 0.01 is that of data sets of
    many classes.
    """
    asked = {key: value for key, value in settings.items() if key != 'heads'}
    counts = {} if inputs.frequency_file is None else dict(frequency_file=inputs.frequency_file)
    prior: dict[str, Any] = {}
    if 'log-prior' in inputs.partners:
        # Without the prior in its centers the contrast pulls the classifier back to it.
        prior = {'class_prior': inputs.partners['log-prior']['tau'] or False, **counts}
    corrected = _corrected(cfg, inputs)
    alpha: dict[str, Any] = {}
    if counts and _has_pixels(inputs):
        alpha = {'alpha': 'auto'}

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        own = {**prior, **asked} if key in corrected else asked
        if head['type'] == ATTACHED.head:  # a recipe of GPaCo is GPaCo as it is
            return dict(loss_contrast=own) if own else {}
        return with_branch(key, head, ATTACHED, {**alpha, **counts, **own}, inputs.partners)

    return change_heads(cfg, settings['heads'], settings_of)


def _has_pixels(inputs: SystemInputs) -> bool:
    """Whether pixels were counted; a file that is not there yet is taken for one of pixels."""
    frequency, file = inputs.frequency, str(inputs.frequency_file)
    if frequency is None and os.path.isfile(file):
        frequency = load_class_frequency(file, 'frequency_file')
    return frequency is None or frequency.pixels is not None


def _corrected(cfg: Config, inputs: SystemInputs) -> set[str]:
    """Return the keys of the heads whose cross entropy gets the log prior beside this."""
    partner = inputs.partners.get('log-prior')
    changes = [] if partner is None else log_prior.change(cfg, partner, inputs)
    return {'.'.join(['model', *map(str, change.path)]) for change in changes}


SYSTEM = TrainingSystem(
    name='gpaco',
    title='CE + GPaCo',
    paper='Cui et al., Generalized Parametric Contrastive Learning, TPAMI 2023 (arXiv 2209.12400)',
    summary='a contrastive loss of drawn pixels and the class centers beside cross entropy',
    change=change,
    imports=IMPORTS,
    settings=SETTINGS,
    passes_on=True,
    search=dict(loss_weight=(0.1, 1.0)),
    needs=Needs(takes_frequencies=True),
    combines_with=(
        'class-weighted-ce',
        'focal',
        'dice',
        'seesaw',
        'rare-class-sampling',
        'log-prior',
        'region-rebalance',
        'region-rebalance-learnable',
    ),
)
