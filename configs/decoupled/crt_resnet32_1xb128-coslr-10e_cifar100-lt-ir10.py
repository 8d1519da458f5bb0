# cRT on CIFAR-100-LT, imbalance ratio 10.
_base_ = './crt_resnet32_1xb128-coslr-10e_cifar100-lt-ir100.py'
stage_one = 'work_dirs/ce_resnet32_1xb128-step-200e_cifar100-lt-ir10/epoch_200.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage_one)))
del stage_one
imbalance_factor = 0.1
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(train_counts=[int(500 * imbalance_factor ** (c / 99)) for c in range(100)])
test_evaluator = val_evaluator
