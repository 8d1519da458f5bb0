# GPaCo on a torchvision-style ResNet-50: no zero initialisation of the last BatchNorm of a block.
# The projector has three layers without BatchNorm, the queue 8192 keys of width 128.
_base_ = 'mmpretrain::_base_/models/resnet50.py'
model = dict(
    type='GPaCoClassifier',
    backbone=dict(zero_init_residual=False),
    head=dict(
        _delete_=True,
        type='GPaCoClsHead',
        num_classes=1000,
        in_channels=2048,
        projector=dict(num_layers=3, out_channels=128, norm=None, act='ReLU'),
        queue_size=8192,
        loss=dict(type='GPaCoLoss', alpha=0.05, temperature=0.2, class_prior='auto'),
    ),
)
