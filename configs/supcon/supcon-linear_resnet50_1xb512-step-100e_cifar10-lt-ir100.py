# SupCon on CIFAR-10-LT, imbalance ratio 100, stage two: a linear classifier on the fixed features
# of supcon-pretrain.
_base_ = [
    '../_base_/models/supcon-linear_cifar-resnet50.py',
    '../_base_/datasets/cifar10-lt-ir100.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/supcon-linear_step-100e.py',
    '../_base_/default_runtime_cls.py',
]
stage_one = 'work_dirs/supcon-pretrain_resnet50_1xb1024-coslr-1000e_cifar10-lt-ir100/epoch_1000.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage_one)), head=dict(num_classes=10))
del stage_one
# crop and flip of stage one, as released
train_pipeline = [*_base_.views.load, *_base_.views.c_sim[:2], _base_.views.pack]
train_dataloader = dict(batch_size=512, dataset=dict(dataset=dict(pipeline=train_pipeline)))
