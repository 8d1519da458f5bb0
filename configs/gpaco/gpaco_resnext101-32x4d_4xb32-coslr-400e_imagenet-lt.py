# GPaCo on ImageNet-LT, ResNeXt-101 32x4d: more operations of RandAugment than ResNeXt-50.
_base_ = './gpaco_resnext50-32x4d_4xb32-coslr-400e_imagenet-lt.py'
model = dict(backbone=dict(depth=101))
rand_augment = dict(_base_.views.rand_augment, num_policies=5)
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[[*_base_.views.rc, rand_augment], [*_base_.views.rcs, rand_augment]],
    ),
    _base_.views.pack,
]
del rand_augment
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
