# ProCo on the CIFAR ResNet-32: linear classifier, projector 64 -> 512 -> 128.
model = dict(
    type='GPaCoClassifier',
    joint_pass=True,  # one set of BatchNorm statistics of the three views, as released
    backbone=dict(type='CIFARResNet', depth=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='ProCoClsHead',
        num_classes=100,
        in_channels=64,
        projector=dict(
            num_layers=2, hidden_channels=512, out_channels=128, norm='BN1d', act='ReLU'
        ),
        loss=dict(type='BalancedSoftmaxLoss', class_prior='auto'),
        loss_contrast=dict(type='ProCoLoss', temperature=0.1, class_prior='auto', loss_weight=1.0),
    ),
)
