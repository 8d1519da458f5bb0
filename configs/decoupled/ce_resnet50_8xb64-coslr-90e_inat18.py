# Cross entropy on iNaturalist 2018, ResNet-50: stage one of the decoupled systems. Batch and rate
# are those of ImageNet-LT.
_base_ = [
    '../_base_/models/ce_resnet50.py',
    '../_base_/datasets/inat18.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-90e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=8142))
# crop and flip, no color jitter
train_pipeline = [_base_.views.load, *_base_.views.rc[:2], _base_.views.pack]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
auto_scale_lr = dict(enable=False, base_batch_size=512)  # 8 GPUs x 64 images
