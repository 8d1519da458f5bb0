"""Region Rebalance in its three forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
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

ATTACHED = Attachment(
    'BranchDecodeHead', ('training_branches', 'region_rebalance'), 'RegionRebalanceBranch'
)
BIASED = Attachment('RegionBiasDecodeHead', ('region_bias',), '')
PAPER = 'Cui et al., Region Rebalance for Long-Tailed Semantic Segmentation (arXiv 2204.01969)'


def change(
    cfg: Config,
    settings: Mapping[str, Any],
    inputs: SystemInputs,
    *,
    attached: Attachment = ATTACHED,
    **fixed: Any,
) -> list[ModelChange]:
    """List the heads that get the region classifier."""
    loss = dict(frequency_file=inputs.frequency_file, **fixed)
    loss |= {key: value for key, value in settings.items() if key != 'heads'}
    return change_heads(
        cfg,
        settings['heads'],
        lambda key, head: with_branch(key, head, attached, loss, inputs.partners),
    )


FROZEN = TrainingSystem(
    name='region-rebalance',
    title='CE + Region Rebalance',
    paper=PAPER,
    summary='a classifier of class regions with an image prior, in training only; its layers are '
    'frozen as released',
    change=change,
    imports=IMPORTS,
    acts_on=REGIONS,
    settings=SETTINGS,
    passes_on=True,
    search=dict(loss_weight=(0.1, 1.0)),
    needs=Needs(class_frequencies=True),
    combines_with=('dice', 'gpaco', 'rare-class-sampling'),
)
LEARNABLE = replace(
    FROZEN,
    name='region-rebalance-learnable',
    title='CE + Region Rebalance, learnable',
    summary='Region Rebalance whose own layers are trained too',
    change=partial(change, learnable=True),
    combines_with=('gpaco', 'rare-class-sampling'),
)
BIAS = TrainingSystem(
    name='region-bias',
    title='CE + Region Rebalance, biased logits',
    paper=PAPER,
    summary='Region Rebalance whose bias of the image also enters the prediction',
    change=partial(change, attached=BIASED),
    imports=IMPORTS,
    acts_on=REGIONS,
    settings=SETTINGS,
    passes_on=True,
    search=dict(region_weight=(0.1, 1.0)),
    needs=Needs(class_frequencies=True),
    inference='a classifier of the predicted regions of each image',
)
