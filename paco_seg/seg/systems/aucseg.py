"""AUCSeg: a loss of pairs of classes, and rare classes pasted into crops that lack them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.core.checks import check_bool
from paco_seg.engine.model_changes import Inherited, ModelChange
from paco_seg.engine.systems import Needs, SystemInputs, TrainingSystem, refusal
from paco_seg.seg.systems.heads import IMPORTS, SETTINGS, change_heads, with_loss_beside

KEY = 'train_dataloader.dataset'
BANK = ('tail_share', 'per_class', 'sample_share', 'resize')


def change(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> list[ModelChange]:
    """List the cross entropies that get the loss beside them, and the change of the data."""
    check_bool('aucseg.bank', settings['bank'])
    auc = dict(type='SquareAUCLoss', gamma=settings['gamma'], loss_weight=settings['loss_weight'])

    def settings_of(key: str, head: dict) -> dict[str, Any]:
        reason = 'SquareAUCLoss is one of pairs and takes no weights of pixels'
        return with_loss_beside(key, head, auc, reason)

    changes = change_heads(cfg, settings['heads'], settings_of)
    if settings['bank']:
        changes.append(_around_the_data(cfg, settings, inputs))
    return changes


def _around_the_data(cfg: Config, settings: Mapping[str, Any], inputs: SystemInputs) -> ModelChange:
    """Return the change of the training set: the memory bank around what it is."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    if not isinstance(dataset, dict):
        raise refusal(KEY, 'the training set of the config', dataset, 'Inherit a data set config')
    if dataset.get('type') == 'TailMemoryDataset':
        raise refusal(KEY, 'another data set', 'TailMemoryDataset', 'It pastes rare classes')
    wrapper: dict[str, Any] = dict(_delete_=True, type='TailMemoryDataset')
    wrapper['dataset'] = Inherited(('train_dataloader', 'dataset'))
    wrapper['frequency_file'] = inputs.frequency_file
    wrapper |= {name: settings[name] for name in BANK}
    return ModelChange((), dict(dataset=wrapper), root='train_dataloader')


SYSTEM = TrainingSystem(
    name='aucseg',
    title='CE + AUCSeg',
    paper='Han et al., AUCSeg: AUC-oriented Pixel-level Long-tail Semantic Segmentation, NeurIPS '
    '2024 (arXiv 2409.20398)',
    summary='cross entropy plus a square loss of the scores of each pair of classes; rare classes '
    'are pasted from earlier crops into crops that lack them',
    change=change,
    imports=IMPORTS,
    settings=dict(
        SETTINGS,
        gamma=1.0,
        loss_weight=1.0,
        bank=True,
        # Those of Cityscapes. ADE20K and COCO-Stuff, whose lists of tail classes are long, paste
        # 0.05 of them, at 0.4 and 0.1 of their size.
        tail_share=None,
        per_class=5,
        sample_share=1.0,
        resize=1.0,
    ),
    search=dict(loss_weight=(1.0, 4.0)),
    needs=Needs(class_frequencies=True),
)
