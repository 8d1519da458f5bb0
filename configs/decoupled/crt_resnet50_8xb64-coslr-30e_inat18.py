# cRT on iNaturalist 2018, ResNet-50: a new classifier on the fixed features of stage one.
_base_ = './ce_resnet50_8xb64-coslr-90e_inat18.py'
stage_one = 'work_dirs/ce_resnet50_8xb64-coslr-90e_inat18/epoch_90.pth'
init_cfg = dict(type='Pretrained', checkpoint=stage_one, prefix='backbone.')
model = dict(type='FrozenFeatureClassifier', backbone=dict(init_cfg=init_cfg))
del stage_one, init_cfg
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
param_scheduler = [dict(type='OneBasedCosineLR', T_max=30, by_epoch=True, begin=0, end=30)]
train_cfg = dict(max_epochs=30)
