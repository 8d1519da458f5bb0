"""The log prior at test: a trained model whose predictions lose the class frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import (
    FREQUENCY,
    IMPORTS,
    Attachment,
    change_heads,
    classifies_masks,
    pixel_classifier,
    with_branch,
)

ATTACHED = Attachment('LogitAdjustedDecodeHead', (), '')


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the change of the head that predicts."""
    own = dict(frequency_file=inputs.frequency_file, tau=settings['tau'])

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        if not classifies_masks(head):
            pixel_classifier(key, head)
        return with_branch(key, head, ATTACHED, own)

    return change_heads(cfg, 'main', settings_of)


SYSTEM = TrainingSystem(
    name='log-prior-test',
    title='CE, log prior at test',
    paper='Menon et al., Long-tail learning via logit adjustment, ICLR 2021 (arXiv 2007.07314)',
    summary='no training: the log pixel prior is taken off the logits of a trained model',
    change=change,
    imports=IMPORTS,
    acts_on=FREQUENCY,
    settings=dict(tau=1.0),
    search=dict(tau=(0.25, 0.5, 1.0)),
    needs=Needs(class_frequencies=True),
    source='ce',
    trains=False,
    inference='one subtraction per logit',
)
