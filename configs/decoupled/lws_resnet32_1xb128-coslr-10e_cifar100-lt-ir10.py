# LWS on CIFAR-100-LT, imbalance ratio 10: one scale per class on the fixed classifier of stage
# one. The authors have no CIFAR recipe: as cRT.
_base_ = './ce_resnet32_1xb128-step-200e_cifar100-lt-ir10.py'
model = dict(type='FrozenFeatureClassifier', head=dict(type='LWSClsHead'))
load_from = 'work_dirs/ce_resnet32_1xb128-step-200e_cifar100-lt-ir10/epoch_200.pth'
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=10, by_epoch=True, begin=0, end=10)]
train_cfg = dict(max_epochs=10)
