# ProCo on ImageNet-LT, ResNet-50.
_base_ = [
    '../_base_/models/proco_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/three-views_224.py',
    '../_base_/schedules/bcl_coslr-90e.py',
    '../_base_/default_runtime_cls.py',
]
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
