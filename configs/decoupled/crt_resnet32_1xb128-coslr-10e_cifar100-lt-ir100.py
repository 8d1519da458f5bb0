# cRT on CIFAR-100-LT, imbalance ratio 100: a new classifier on the fixed features of stage one.
# The authors have no CIFAR recipe: length and sampler of ImageNet-LT, the rate of stage one.
_base_ = './ce_resnet32_1xb128-step-200e_cifar100-lt-ir100.py'
stage_one = 'work_dirs/ce_resnet32_1xb128-step-200e_cifar100-lt-ir100/epoch_200.pth'
init_cfg = dict(type='Pretrained', checkpoint=stage_one, prefix='backbone.')
model = dict(type='FrozenFeatureClassifier', backbone=dict(init_cfg=init_cfg))
del stage_one, init_cfg
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type='OneBasedCosineLR', T_max=10, by_epoch=True, begin=0, end=10)]
train_cfg = dict(max_epochs=10)
