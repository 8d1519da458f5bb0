# ProCo on CIFAR-100-LT, imbalance ratio 100, twice as long with twice the warm-up.
_base_ = './proco_resnet32_1xb256-step-200e_cifar100-lt-ir100.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type='MultiStepLR', by_epoch=True, milestones=[360, 380], gamma=0.1),
]
train_cfg = dict(max_epochs=400)
