# Cross entropy on ImageNet-LT, ResNet-50, beside PaCo and with the settings of GPaCo: same
# network, schedule and augmentation (view 1).
_base_ = [
    '../_base_/models/ce_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
train_pipeline = [_base_.views.load, *_base_.views.rc, _base_.views.rand_augment, _base_.views.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.04))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
