# Cross entropy on a CIFAR ResNet of 0.08 million parameters, for training from scratch on CPU. The
# two views of an image are two images for it.
model = dict(
    type='GPaCoClassifier',
    backbone=dict(type='CIFARResNet', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
