"""ContrastiveSeg: pixels of all images of a batch are contrasted with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import IMPORTS, SETTINGS, Attachment, change_heads, with_branch

ATTACHED = Attachment(
    'BranchDecodeHead', ('training_branches', 'contrastive_seg'), 'ContrastiveSegBranch'
)


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the heads that get projector and contrastive loss."""
    loss = {key: value for key, value in settings.items() if key != 'heads'}
    return change_heads(
        cfg,
        settings['heads'],
        lambda key, head: with_branch(key, head, ATTACHED, loss, inputs.partners),
    )


SYSTEM = TrainingSystem(
    name='contrastive-seg',
    title='CE + ContrastiveSeg',
    paper='Wang et al., Exploring Cross-Image Pixel Contrast for Semantic Segmentation, ICCV 2021 '
    '(arXiv 2101.11939)',
    summary='a contrast of pixels across images, half of them misclassified, beside cross entropy; '
    '`memory_size` adds a memory of pixels and regions, `mining` chooses among them',
    change=change,
    imports=IMPORTS,
    # Without a start the contrast of an untrained projector outweighs cross entropy at first.
    settings=dict(SETTINGS, start_share=0.125),
    passes_on=True,
    search=dict(loss_weight=(0.1, 1.0)),
)
