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
        # as released: Kaiming on the last layer, PyTorch's initialisation on the others and on fc
        projector=dict(num_layers=2, out_channels=32, norm='BN1d', act='ReLU', kaiming_last=True),
        queue_size=1024,
        loss=dict(type='GPaCoLoss', alpha=0.01, temperature=0.05, class_prior='auto'),
    ),
)
