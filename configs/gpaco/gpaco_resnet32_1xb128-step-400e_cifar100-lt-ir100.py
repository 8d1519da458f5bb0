# GPaCo on CIFAR-100-LT, imbalance ratio 100. The authors have no script for this row: the views
# are those of their CIFAR-LT code path, all other settings those of PaCo on CIFAR-100-LT.
_base_ = [
    '../_base_/models/gpaco_cifar-resnet32.py',
    '../_base_/datasets/cifar100-lt-ir100.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/sgd_step-400e.py',
    '../_base_/default_runtime_cls.py',
]
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    *_base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[_base_.views.c_aa, _base_.views.c_sim_weak_blur],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
