# PaCo on the full ImageNet, ResNet-200: mixed precision and a stronger first view.
_base_ = './paco_resnet50_4xb64-coslr-400e_in1k.py'
model = dict(backbone=dict(type='ExtendedResNet', depth=200))
rand_augment = dict(_base_.views.rand_augment, num_policies=3, magnitude_level=12)
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
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
