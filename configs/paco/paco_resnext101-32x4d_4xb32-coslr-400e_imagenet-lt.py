# PaCo on ImageNet-LT, ResNeXt-101 32x4d.
_base_ = './paco_resnext50-32x4d_4xb32-coslr-400e_imagenet-lt.py'
model = dict(backbone=dict(depth=101), head=dict(loss=dict(temperature=0.2)))
rand_augment = dict(_base_.views.rand_augment, num_policies=3)
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[[*_base_.views.rcs, rand_augment], _base_.views.sim],
    ),
    _base_.views.pack,
]
del rand_augment
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.03))
