# SupCon, stage two on CIFAR-10-LT, imbalance ratio 50.
_base_ = './supcon-linear_resnet50_1xb512-step-100e_cifar10-lt-ir100.py'
stage_one = 'work_dirs/supcon-pretrain_resnet50_1xb1024-coslr-1000e_cifar10-lt-ir50/epoch_1000.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage_one)))
del stage_one
imbalance_factor = 0.02
train_dataloader = dict(dataset=dict(imbalance_factor=imbalance_factor))
val_evaluator = dict(train_counts=[int(5000 * imbalance_factor ** (c / 9)) for c in range(10)])
test_evaluator = val_evaluator
