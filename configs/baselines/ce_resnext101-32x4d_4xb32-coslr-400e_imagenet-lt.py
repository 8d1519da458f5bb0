# Cross entropy beside P6 and G5 (the settings of G5): same network, schedule and augmentation
# (view 1).
_base_ = [
    '../_base_/models/ce_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    backbone=dict(type='ResNeXt', depth=101, groups=32, width_per_group=4),
)
train_pipeline = [
    _base_.views.load,
    *_base_.views.rc,
    dict(_base_.views.rand_augment, num_policies=5),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.06))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
auto_scale_lr = dict(enable=False, base_batch_size=128)  # 4 GPUs x 32 images
