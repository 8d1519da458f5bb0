# LWS on iNaturalist 2018, ResNet-50: one scale per class on the fixed classifier of stage one.
# Five epochs, as released; all else as cRT.
_base_ = './ce_resnet50_8xb64-coslr-90e_inat18.py'
model = dict(type='FrozenFeatureClassifier', head=dict(type='LWSClsHead'))
load_from = 'work_dirs/ce_resnet50_8xb64-coslr-90e_inat18/epoch_90.pth'
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
param_scheduler = [dict(type='OneBasedCosineLR', T_max=5, by_epoch=True, begin=0, end=5)]
train_cfg = dict(max_epochs=5)
