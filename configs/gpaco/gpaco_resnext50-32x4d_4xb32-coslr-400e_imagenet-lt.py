# GPaCo on ImageNet-LT, ResNeXt-50 32x4d.
_base_ = [
    '../_base_/models/gpaco_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(backbone=dict(type='ResNeXt', depth=50, groups=32, width_per_group=4))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [*_base_.views.rc, dict(_base_.views.rand_augment, num_policies=3)],
            [*_base_.views.rcs, dict(_base_.views.rand_augment, num_policies=3)],
        ],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.06))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
