# GPaCo on the CIFAR ResNet-32: queue of 1024 keys of width 32.
model = dict(
    type='GPaCoClassifier',
    backbone=dict(type='CIFARResNet', depth=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='GPaCoClsHead',
        num_classes=100,
        in_channels=64,
        # as released: Kaiming on the last layer, PyTorch's initialisation on the others and on fc
        projector=dict(num_layers=3, out_channels=32, norm=None, act='ReLU', kaiming_last=True),
        queue_size=1024,
        loss=dict(type='GPaCoLoss', alpha=0.01, temperature=0.05, class_prior='auto'),
    ),
)
