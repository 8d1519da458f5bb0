# ResLT on the CIFAR ResNet-32: one BatchNorm per branch on the last map, one classifier.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='CIFARResNet', depth=32),
    neck=None,  # the head pools
    head=dict(
        type='ResLTClsHead',
        num_classes=100,
        in_channels=64,
        branch='norm',
        loss=dict(type='ResLTLoss', groups=(65, 30), alpha=0.995, class_counts='auto'),
        init_cfg=None,  # PyTorch's, as released
    ),
)
