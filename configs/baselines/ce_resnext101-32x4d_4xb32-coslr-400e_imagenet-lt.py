# Cross entropy on ImageNet-LT, ResNeXt-101 32x4d, beside PaCo and with the settings of GPaCo.
_base_ = './ce_resnext50-32x4d_4xb32-coslr-400e_imagenet-lt.py'
model = dict(backbone=dict(depth=101))
train_pipeline = [
    _base_.views.load,
    *_base_.views.rc,
    dict(_base_.views.rand_augment, num_policies=5),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
