# PaCo on CIFAR-10-LT, imbalance ratio 100. The authors have no script for this data set: the
# settings are those of CIFAR-100-LT.
_base_ = [
    '../_base_/models/paco_cifar-resnet32.py',
    '../_base_/datasets/cifar10-lt-ir100.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/sgd_step-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=10))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    *_base_.views.load,
    dict(type='MultiView', num_views=[1, 1], transforms=[_base_.views.c_aa, _base_.views.c_sim]),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
