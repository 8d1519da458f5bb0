# Stage two of SupCon on CIFAR: a linear classifier on the fixed features of stage one.
_base_ = 'mmpretrain::_base_/models/resnet50_cifar.py'
model = dict(
    type='FrozenFeatureClassifier',
    backbone=dict(init_cfg=dict(type='Pretrained', prefix='backbone.')),
)
