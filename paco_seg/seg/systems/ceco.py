"""CeCo: region features against fixed simplex centers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import (
    IMPORTS,
    REGIONS,
    SETTINGS,
    Attachment,
    change_heads,
    with_branch,
)

HIDDEN_CHANNELS = 512  # of the branch by default, as released
ATTACHED = Attachment('BranchDecodeHead', ('training_branches', 'ceco'), 'CeCoBranch')


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the heads that get the branch."""
    loss = {key: value for key, value in settings.items() if key != 'heads'}
    loss = dict(frequency_file=inputs.frequency_file) | loss

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        # A simplex of C corners needs C channels.
        wide = {}
        if (head.get('num_classes') or 0) > HIDDEN_CHANNELS:
            wide = dict(hidden_channels=head['num_classes'])
        return with_branch(key, head, ATTACHED, {**wide, **loss}, inputs.partners)

    return change_heads(cfg, settings['heads'], settings_of)


SYSTEM = TrainingSystem(
    name='ceco',
    title='CE + CeCo',
    paper='Zhong et al., Understanding Imbalanced Semantic Segmentation Through Neural Collapse, '
    'CVPR 2023 (arXiv 2301.01100)',
    summary='the mean feature of each class is drawn to its corner of a fixed simplex',
    change=change,
    imports=IMPORTS,
    acts_on=REGIONS,
    # As on Cityscapes; 1, the default of the branch, is in no published config.
    settings=dict(SETTINGS, loss_weight=0.4),
    passes_on=True,
    search=dict(loss_weight=(0.04, 0.4)),
    needs=Needs(class_frequencies=True),
)
