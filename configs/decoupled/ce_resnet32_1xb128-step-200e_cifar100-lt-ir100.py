# Cross entropy on CIFAR-100-LT, imbalance ratio 100: stage one of the decoupled systems, and the
# baseline of LDAM-DRW.
_base_ = [
    '../_base_/models/ce_cifar-resnet32.py',
    '../_base_/datasets/cifar100-lt-ir100.py',
    '../_base_/pipelines/crop-flip_32.py',
    '../_base_/schedules/sgd_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
train_pipeline = [*_base_.views.load, *_base_.views.crop_flip, _base_.views.pack]
# the release of LDAM keeps the last batch
train_dataloader = dict(drop_last=False, dataset=dict(dataset=dict(pipeline=train_pipeline)))
