# P6. PaCo on ImageNet-LT, ResNeXt-101 32x4d.
_base_ = [
    '../_base_/models/paco_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    backbone=dict(type='ResNeXt', depth=101, groups=32, width_per_group=4),
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [*_base_.views.rcs, dict(_base_.views.rand_augment, num_policies=3)],
            _base_.views.sim,
        ],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.03))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
auto_scale_lr = dict(enable=False, base_batch_size=128)  # 4 GPUs x 32 images
