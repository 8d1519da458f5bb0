# SupCon on CIFAR-100-LT, imbalance ratio 10, stage two: a linear classifier on the fixed features
# of supcon-pretrain.
_base_ = [
    'mmpretrain::_base_/models/resnet50_cifar.py',
    '../_base_/datasets/cifar100-lt-ir10.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/sgd_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    type='FrozenFeatureClassifier',
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/supcon-pretrain_resnet50_1xb1024-coslr-1000e_cifar100-lt-ir10/'
            'epoch_1000.pth',
            prefix='backbone.',
        ),
    ),
    head=dict(num_classes=100),
)
# crop and flip of stage one
train_pipeline = [
    *_base_.views.load,
    *_base_.views.c_sim[:2],
    _base_.views.pack,
]
train_dataloader = dict(batch_size=512, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=5.0, weight_decay=0.0))
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, milestones=[60, 75, 90], gamma=0.2),
]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(enable=False, base_batch_size=512)
