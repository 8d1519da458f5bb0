"""The log prior in the loss: logits are trained with the class frequencies taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem
from paco_seg.seg.systems.heads import FREQUENCY, IMPORTS, SETTINGS, change_heads, with_losses


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies that get the prior."""

    def adjusted(loss: dict[str, Any]) -> list[dict[str, Any]]:
        loss.pop('class_weight', None)  # the prior does what the weights were for
        own = dict(
            type='LogitAdjustedCrossEntropyLoss',
            frequency_file=inputs.frequency_file,
            tau=settings['tau'],
        )
        return [{**loss, **own}]

    return change_heads(cfg, settings['heads'], lambda key, head: with_losses(key, head, adjusted))


SYSTEM = TrainingSystem(
    name='log-prior',
    title='CE + log prior',
    paper='Menon et al., Long-tail learning via logit adjustment, ICLR 2021 (arXiv 2007.07314)',
    summary='cross entropy of logits plus the log pixel prior; predictions use the raw logits',
    change=change,
    imports=IMPORTS,
    acts_on=FREQUENCY,
    settings=dict(SETTINGS, tau=1.0),
    search=dict(tau=(0.5, 1.0)),
    needs=Needs(class_frequencies=True),
    combines_with=('gpaco',),
)
