# cRT on Places-LT, ResNet-152: a new classifier on the fixed features of the cross-entropy
# baseline, whose recipe is that of PaCo and not that of the authors.
_base_ = '../baselines/ce_resnet152-in1k-pre_4xb32-amp-coslr-30e_places-lt.py'
stage_one = 'work_dirs/ce_resnet152-in1k-pre_4xb32-amp-coslr-30e_places-lt/epoch_30.pth'
init_cfg = dict(type='Pretrained', checkpoint=stage_one, prefix='backbone.')
model = dict(type='FrozenFeatureClassifier', backbone=dict(init_cfg=init_cfg))
del stage_one, init_cfg
train_dataloader = dict(batch_size=64, sampler=dict(_delete_=True, type='ClassAwareSampler'))
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type='OneBasedCosineLR', T_max=10, by_epoch=True, begin=0, end=10)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)  # 4 GPUs x 64 images
