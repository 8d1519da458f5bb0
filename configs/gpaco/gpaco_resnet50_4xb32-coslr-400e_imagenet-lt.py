# GPaCo on ImageNet-LT, ResNet-50. alpha is that of the script; the wider networks have 0.05.
_base_ = [
    '../_base_/models/gpaco_resnet50.py',
    '../_base_/datasets/imagenet-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(loss=dict(alpha=0.045)))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [*_base_.views.rc, _base_.views.rand_augment],
            [*_base_.views.rcs, _base_.views.rand_augment],
        ],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.04))
default_hooks = dict(checkpoint=dict(save_best='long-tail/top1', rule='greater'))
