# Stage one of SupCon on CIFAR: the ResNet-50 of CIFAR with a projector and no classifier.
_base_ = 'mmpretrain::_base_/models/resnet50_cifar.py'
model = dict(
    type='GPaCoClassifier',
    joint_pass=True,  # one set of BatchNorm statistics, as released
    backbone=dict(zero_init_residual=False),
    head=dict(
        _delete_=True,
        type='SupConPretrainHead',
        in_channels=2048,
        projector=dict(num_layers=2, out_channels=128, norm=None, act='ReLU'),
        loss=dict(type='SupConLoss', temperature=0.1, base_temperature=0.07),
    ),
)
