# GPaCo on CIFAR-100, balanced. The prior is uniform, which is not a no-op: it shifts every
# center logit by log(1/100) against the similarities.
_base_ = [
    'mmpretrain::_base_/models/resnet50_cifar.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/sgd_step-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    type='GPaCoClassifier',
    backbone=dict(zero_init_residual=False),
    head=dict(
        _delete_=True,
        type='GPaCoClsHead',
        num_classes=100,
        in_channels=2048,
        projector=dict(num_layers=3, out_channels=128, norm=None, act='ReLU'),
        queue_size=1024,
        loss=dict(type='GPaCoLoss', alpha=0.01, temperature=0.07, class_prior='auto'),
    ),
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    *_base_.views.load,
    dict(type='MultiView', num_views=[1, 1], transforms=[_base_.views.c_sim, _base_.views.c_sim]),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
