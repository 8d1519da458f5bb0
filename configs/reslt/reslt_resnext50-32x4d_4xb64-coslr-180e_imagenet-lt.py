# ResLT on ImageNet-LT, ResNeXt-50 32x4d. The released test pools before the branches:
# model.head.test_pool_first=True.
_base_ = [
    '../_base_/models/reslt_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/reslt_coslr-180e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(backbone=dict(type='ResNeXt', depth=50, groups=32, width_per_group=4))
train_pipeline = [_base_.views.load, *_base_.views.rc, _base_.views.pack]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
auto_scale_lr = dict(enable=False, base_batch_size=256)  # 4 GPUs x 64 images
