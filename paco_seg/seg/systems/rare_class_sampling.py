"""Rare class sampling: images are drawn by the rarity of their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.engine.model_changes import Inherited, ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem, refusal
from paco_seg.seg.systems.heads import FREQUENCY, IMPORTS

KEY = 'train_dataloader.dataset'


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the change of the training set: our wrapper around what it is."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    if not isinstance(dataset, dict):
        raise refusal(KEY, 'the training set of the config', dataset, 'Inherit a data set config')
    if dataset.get('type') == 'RareClassDataset':
        raise refusal(KEY, 'another data set', 'RareClassDataset', 'It draws rare classes already')
    wrapper: dict[str, Any] = dict(_delete_=True, type='RareClassDataset')
    wrapper['dataset'] = Inherited(('train_dataloader', 'dataset'))
    if inputs.frequency_file is not None:
        wrapper['index_file'] = inputs.frequency_file.removesuffix('.json') + '_by-image.json'
    return [ModelChange((), dict(dataset={**wrapper, **settings}), root='train_dataloader')]


SYSTEM = TrainingSystem(
    name='rare-class-sampling',
    title='Rare class sampling',
    paper='Hoyer et al., DAFormer, CVPR 2022 (arXiv 2111.14887), section 3.3',
    summary='draws a class by its rarity, an image that has it, and a crop that keeps it',
    change=change,
    imports=IMPORTS,
    acts_on=FREQUENCY,
    settings=dict(temperature=0.01, min_pixels=3000, min_crop_ratio=0.5),
    search=dict(temperature=(0.01, 0.1)),
    needs=Needs(class_frequencies=True, class_balanced_sampler=True),
    combines_with=('dice', 'gpaco', 'region-rebalance', 'region-rebalance-learnable'),
)
