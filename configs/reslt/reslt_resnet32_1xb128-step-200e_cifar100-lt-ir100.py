# ResLT on CIFAR-100-LT, imbalance ratio 100.
_base_ = [
    '../_base_/models/reslt_cifar-resnet32.py',
    '../_base_/datasets/cifar100-lt-ir100.py',
    '../_base_/pipelines/crop-flip_32.py',
    '../_base_/schedules/reslt_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
train_pipeline = [*_base_.views.load, *_base_.views.crop_flip, _base_.views.pack]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
