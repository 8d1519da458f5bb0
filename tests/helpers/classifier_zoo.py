"""Smallest settings of every classifier and head of ours, and of what they are compared with.

``SYSTEMS`` maps a name of the documentation to ``(model config, views)``.
"""

from __future__ import annotations

from helpers.contrastive import COUNTS

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
