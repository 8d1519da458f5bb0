# ProCo on CIFAR-10-LT, imbalance ratio 100.
_base_ = [
    '../_base_/models/proco_cifar-resnet32.py',
    '../_base_/datasets/cifar10-lt-ir100.py',
    '../_base_/pipelines/proco-views_32.py',
    '../_base_/schedules/proco_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=10))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
