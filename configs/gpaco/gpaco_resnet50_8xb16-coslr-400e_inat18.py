# GPaCo on iNaturalist 2018, ResNet-50.
_base_ = [
    '../_base_/models/gpaco_resnet50.py',
    '../_base_/datasets/inat18.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=8142))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[[*_base_.views.rc, _base_.views.rand_augment], _base_.views.sim],
    ),
    _base_.views.pack,
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.04, weight_decay=1e-4))
