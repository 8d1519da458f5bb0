# GPaCo on Places-LT, ResNet-152 from ImageNet. The released script of this row cannot run as
# it is; these are its settings.
_base_ = [
    '../_base_/models/gpaco_resnet50.py',
    '../_base_/datasets/places-lt.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-30e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    # torchvision weights (V1); of the convolutions only those of the last bottleneck are trained,
    # while all BatchNorms stay in training
    backbone=dict(
        type='ExtendedResNet',
        depth=152,
        trainable_convs=('layer4.2',),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152'),
    ),
    head=dict(num_classes=365, loss=dict(alpha=0.02)),
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(type='MultiView', num_views=[1, 1], transforms=[_base_.views.sim, _base_.views.sim]),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
