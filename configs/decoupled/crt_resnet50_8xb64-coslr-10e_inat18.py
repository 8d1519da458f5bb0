# cRT on iNaturalist 2018, ResNet-50: a new classifier on the fixed features of stage one.
_base_ = './ce_resnet50_8xb64-coslr-90e_inat18.py'
model = dict(
    type='FrozenFeatureClassifier',
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/ce_resnet50_8xb64-coslr-90e_inat18/epoch_90.pth',
            prefix='backbone.',
        )
    ),
)
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=10, by_epoch=True, begin=0, end=10)]
train_cfg = dict(max_epochs=10)
