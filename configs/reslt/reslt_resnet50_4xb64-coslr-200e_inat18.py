# ResLT on iNaturalist 2018, ResNet-50, without a tail branch. gamma is that of the released
# training script; the evaluation script has 0.
_base_ = [
    '../_base_/models/reslt_resnet50.py',
    '../_base_/datasets/inat18.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/reslt_coslr-180e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=8142, test_gamma=0.3, loss=dict(groups=(6600, 0), alpha=0.85)))
# crop and flip, no color jitter
train_pipeline = [_base_.views.load, *_base_.views.rc[:2], _base_.views.pack]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
# no warm-up
param_scheduler = [dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200)]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(enable=False, base_batch_size=256)  # 4 GPUs x 64 images
