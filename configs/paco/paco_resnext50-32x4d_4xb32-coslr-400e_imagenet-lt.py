# PaCo on ImageNet-LT, ResNeXt-50 32x4d. The temperature is that of the script; the other
# ImageNet-LT scripts have 0.2.
_base_ = [
    '../_base_/models/paco_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    backbone=dict(type='ResNeXt', depth=50, groups=32, width_per_group=4),
    head=dict(loss=dict(temperature=0.07)),
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[[*_base_.views.rcs, _base_.views.rand_augment], _base_.views.sim],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
