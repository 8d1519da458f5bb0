# ProCo on CIFAR-100-LT, imbalance ratio 100.
_base_ = [
    '../_base_/models/proco_cifar-resnet32.py',
    '../_base_/datasets/cifar100-lt-ir100.py',
    '../_base_/pipelines/proco-views_32.py',
    '../_base_/schedules/proco_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
