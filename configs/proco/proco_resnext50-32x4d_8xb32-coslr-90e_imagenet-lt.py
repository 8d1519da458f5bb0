# ProCo on ImageNet-LT, ResNeXt-50 32x4d.
_base_ = './proco_resnet50_8xb32-coslr-90e_imagenet-lt.py'
model = dict(backbone=dict(type='ResNeXt', depth=50, groups=32, width_per_group=4))
