"""Every classifier on a pretended GPU; run by ``test_devices.py`` in a process of its own.

``REAL_DEVICE=1`` takes the GPU there is.
"""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import synchronisations
from helpers.contrastive import COUNTS
from helpers.device import on_device, to_device
from helpers.synchronisations import PRECISIONS, Losses, train
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

BACKBONE = dict(
    backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
)
COMMON = dict(num_classes=5, in_channels=16)


def contrastive(kind, classifier=None, **loss):
    loss = dict(class_prior=COUNTS) | loss
    return dict(
        type=f'{classifier or kind}Classifier',
        **BACKBONE,
        head=dict(type=f'{kind}ClsHead', queue_size=64, loss=loss, **COMMON),
    )


def hybrid(**loss):
    head = dict(type='HybridClsHead', loss_contrast=loss, **COMMON)
    return dict(type='HybridClassifier', **BACKBONE, head=head, data_preprocessor=dict(num_views=3))


def three_views(kind, **loss):
    head = dict(
        type=f'{kind}ClsHead',
        loss=dict(class_prior=COUNTS),
        loss_contrast=loss,
        scale=30.0,
        **COMMON,
    )
    return dict(
        type='GPaCoClassifier',
        joint_pass=True,
        **BACKBONE,
        head=head,
        data_preprocessor=dict(num_views=3),
    )


def plain(head, classifier='ImageClassifier', **settings):
    return dict(type=classifier, **BACKBONE) | dict(head=dict(type=head, **COMMON, **settings))


# name in the documentation -> (config, views)
SYSTEMS = {
    'cross entropy': (plain('LinearClsHead'), 1),
    'GPaCo': (contrastive('GPaCo', label_smoothing=0.1), 2),
    'GPaCo, streaming': (contrastive('GPaCo', impl='streaming'), 2),
    'PaCo': (contrastive('PaCo'), 2),
    'PaCo, streaming': (contrastive('PaCo', impl='streaming'), 2),
    'multi-task SupCon': (
        contrastive('MultiTaskSupCon', 'GPaCo', weighting='effective_number'),
        2,
    ),
    'SupCon, first stage': (
        dict(
            type='GPaCoClassifier',
            joint_pass=True,
            **BACKBONE,
            head=dict(type='SupConPretrainHead', in_channels=16),
        ),
        2,
    ),
    'Hybrid-SC': (hybrid(type='SupConLoss'), 3),
    'Hybrid-PSC': (hybrid(type='PrototypeContrastLoss', prototypes_per_class=2), 3),
    'LDAM-DRW': (
        plain('LDAMClsHead', loss=dict(class_counts=COUNTS, drw_start_epoch=1)),
        1,
    ),
    'ResLT': (
        plain('ResLTClsHead', loss=dict(groups=(3, 2), class_counts=COUNTS)) | dict(neck=None),
        1,
    ),
    'Balanced Softmax': (
        plain('LinearClsHead', loss=dict(type='BalancedSoftmaxLoss', class_prior=COUNTS)),
        1,
    ),
    'logit adjustment': (plain('LogitAdjustedClsHead', class_prior=COUNTS), 1),
    'LWS': (plain('LWSClsHead', 'FrozenFeatureClassifier'), 1),
    'tau-normalisation': (plain('TauNormClsHead'), 1),
    'BCL': (three_views('BCL'), 3),
    'ProCo': (three_views('ProCo', class_prior=COUNTS), 3),
    'LIFT': (
        dict(
            type='LIFTClassifier',
            backbone=dict(
                type='VisionTransformer',
                img_size=32,
                patch_size=8,
                out_type='cls_token',
                arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=16),
            ),
            head=dict(type='LIFTClsHead', loss=dict(class_prior=COUNTS), **COMMON),
        ),
        1,
    ),
}


def data_samples(balanced):
    made = []
    for label in (0, 1, 1, 3):
        sample = DataSample()
        sample.set_field(to_device(torch.tensor([label])), 'gt_label')
        if balanced:
            sample.set_field(to_device(torch.tensor([2])), 'balanced_label')
        made.append(sample)
    return made


def step(title, precision='float32'):
    config, views = SYSTEMS[title]
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config)).train()
    for module in model.modules():
        if hasattr(module, 'set_progress'):
            module.set_progress(3, 10)
    with on_device() as trace:
        to_device(model)
        images = [to_device(torch.randn(4, 3, 32, 32)) for _ in range(views)]
        inputs = images if views > 1 else images[0]
        losses = Losses(trace, model, inputs, data_samples(balanced=views == 3))
        return train(losses, precision)


@pytest.mark.parametrize('precision', list(PRECISIONS)[1:])
@pytest.mark.parametrize('title', SYSTEMS)
def test_every_classifier_runs_there_in_mixed_precision(title, precision):
    counts = step(title, precision)
    if title.startswith(('GPaCo', 'PaCo')):
        assert counts['where'] == {}


def test_counts_of_every_system():
    counts = {}
    for title in SYSTEMS:
        found = step(title)
        print(title, found)
        counts[title] = found['own']
    ours = {title: n for title, n in counts.items() if title.startswith(('GPaCo', 'PaCo'))}
    assert set(ours.values()) == {0}
    synchronisations.check('classification', counts)
