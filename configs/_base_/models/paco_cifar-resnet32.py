# PaCo on the CIFAR ResNet-32: momentum encoder, queue of 1024 keys of width 32.
model = dict(
    type='PaCoClassifier',
    momentum=0.999,
    backbone=dict(type='CIFARResNet', depth=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='PaCoClsHead',
        num_classes=100,
        in_channels=64,
        projector=dict(num_layers=2, out_channels=32, norm='BN1d', act='ReLU'),
        queue_size=1024,
        loss=dict(type='GPaCoLoss', alpha=0.01, temperature=0.05, class_prior='auto'),
        # The recipe initialises the convolutions and "the last fc" by Kaiming, which does not
        # settle whether the classifier is meant or the last layer of the projector: here it is the
        # classifier, and the projector keeps PyTorch's default.
        init_cfg=dict(type='Kaiming', mode='fan_in', nonlinearity='relu', override=dict(name='fc')),
    ),
)
