"""The baseline: the config as it is, without branches and losses of this package in its heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.seg.stock_config import stock_config
from paco_seg.seg.systems.heads import IMPORTS, heads_of_model


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List what turns heads and losses of this package into the stock ones in their place."""
    changes = []
    for path, head in heads_of_model(cfg):
        if not isinstance(head.get('type'), str):
            continue
        stock = stock_config(Config(dict(model=dict(decode_head=head)))).model.decode_head
        if stock.to_dict() != Config(dict(head=head)).head.to_dict():
            # An element of a list is stated in full, a dict has to be emptied first.
            changes.append(ModelChange(path, dict(_delete_=True, **stock.to_dict())))
    return changes


SYSTEM = TrainingSystem(
    name='ce',
    title='CE',
    paper='',
    summary='the losses of the config as they are, cross entropy in most',
    change=change,
    imports=IMPORTS,
)
