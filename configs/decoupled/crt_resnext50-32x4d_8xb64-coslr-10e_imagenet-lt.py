# cRT on ImageNet-LT, ResNeXt-50 32x4d: a new classifier on the fixed features of stage one.
_base_ = './ce_resnext50-32x4d_8xb64-coslr-90e_imagenet-lt.py'
stage_one = 'work_dirs/ce_resnext50-32x4d_8xb64-coslr-90e_imagenet-lt/epoch_90.pth'
init_cfg = dict(type='Pretrained', checkpoint=stage_one, prefix='backbone.')
model = dict(type='FrozenFeatureClassifier', backbone=dict(init_cfg=init_cfg))
del stage_one, init_cfg
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
param_scheduler = [dict(type='OneBasedCosineLR', T_max=10, by_epoch=True, begin=0, end=10)]
train_cfg = dict(max_epochs=10)
