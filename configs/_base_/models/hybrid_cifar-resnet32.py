# Hybrid-SC on the CIFAR ResNet-32. The widths of the projector are not published.
model = dict(
    type='HybridClassifier',
    backbone=dict(type='CIFARResNet', depth=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='HybridClsHead',
        num_classes=100,
        in_channels=64,
        projector=dict(num_layers=2, out_channels=128, norm=None, act='ReLU'),
        loss_contrast=dict(type='SupConLoss', temperature=0.1),
        curriculum='parabolic',
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        init_cfg=dict(type='Kaiming', mode='fan_in', nonlinearity='relu', override=dict(name='fc')),
    ),
)
