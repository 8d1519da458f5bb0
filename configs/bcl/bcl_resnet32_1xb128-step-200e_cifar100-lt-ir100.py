# BCL on CIFAR-100-LT, imbalance ratio 100. Recipe of another project: the authors released no code
# for CIFAR.
_base_ = [
    '../_base_/models/bcl_cifar-resnet32.py',
    '../_base_/datasets/cifar100-lt-ir100.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/sgd_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
train_pipeline = [
    *_base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 2],
        # crop and flip for the classifier
        transforms=[_base_.views.c_aa[:2], _base_.views.c_sim],
    ),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
