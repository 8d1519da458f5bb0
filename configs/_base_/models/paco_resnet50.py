# PaCo on a torchvision-style ResNet-50: momentum encoder, projector of two layers with BatchNorm,
# queue of 8192 keys of width 128.
_base_ = 'mmpretrain::_base_/models/resnet50.py'
model = dict(
    type='PaCoClassifier',
    momentum=0.999,
    backbone=dict(zero_init_residual=False),
    head=dict(
        _delete_=True,
        type='PaCoClsHead',
        num_classes=1000,
        in_channels=2048,
        projector=dict(num_layers=2, out_channels=128, norm='BN1d', act='ReLU'),
        queue_size=8192,
        loss=dict(type='GPaCoLoss', alpha=0.05, temperature=0.2, class_prior='auto'),
    ),
)
