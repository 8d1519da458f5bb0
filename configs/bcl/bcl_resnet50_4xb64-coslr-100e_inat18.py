# BCL on iNaturalist 2018, ResNet-50: twice the rate of ImageNet-LT, a fifth of its weight decay,
# ten epochs more. The number of GPUs is that of ImageNet-LT.
_base_ = [
    '../_base_/models/bcl_resnet50.py',
    '../_base_/datasets/inat18.py',
    '../_base_/pipelines/three-views_224.py',
    '../_base_/schedules/bcl_coslr-90e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=8142))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
train_dataloader = dict(
    batch_size=64, drop_last=False, dataset=dict(pipeline=_base_.train_pipeline)
)
optim_wrapper = dict(optimizer=dict(lr=0.2, weight_decay=1e-4))
param_scheduler = [dict(type='OneBasedCosineLR', T_max=101, by_epoch=True, begin=0, end=100)]
train_cfg = dict(max_epochs=100)
