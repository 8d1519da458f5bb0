# ResLT on a torchvision-style ResNet-50: 1x1 convolution, BatchNorm and ReLU per branch.
_base_ = './ce_resnet50.py'
model = dict(
    neck=None,  # the head pools
    head=dict(
        _delete_=True,
        type='ResLTClsHead',
        num_classes=1000,
        in_channels=2048,
        branch='conv',
        test_gamma=0.7,
        loss=dict(type='ResLTLoss', groups=(825, 220), alpha=0.99, class_counts='auto'),
        # of the 1x1 convolution; the classifier has PyTorch's
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'),
    ),
)
