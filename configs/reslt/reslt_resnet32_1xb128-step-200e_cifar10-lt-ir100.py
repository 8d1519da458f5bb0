# ResLT on CIFAR-10-LT, imbalance ratio 100.
_base_ = [
    '../_base_/models/reslt_cifar-resnet32.py',
    '../_base_/datasets/cifar10-lt-ir100.py',
    '../_base_/pipelines/crop-flip_32.py',
    '../_base_/schedules/reslt_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=10, loss=dict(groups=(8, 6), alpha=0.998)))
train_pipeline = [*_base_.views.load, *_base_.views.crop_flip, _base_.views.pack]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
