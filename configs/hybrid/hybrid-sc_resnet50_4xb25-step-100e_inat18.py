# Hybrid-SC on iNaturalist 2018, ResNet-50. Nothing of this recipe is verified: length, batch, rate
# and curriculum are recalled from the paper, weight decay and views are those of the other
# systems.
_base_ = [
    '../_base_/models/ce_resnet50.py',
    '../_base_/datasets/inat18.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/hybrid_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    type='HybridClassifier',
    head=dict(
        type='HybridClsHead',
        num_classes=8142,
        projector=dict(num_layers=2, out_channels=128, norm=None, act='ReLU'),
        loss_contrast=dict(type='SupConLoss', temperature=0.1),
        curriculum='linear',
    ),
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
view = _base_.views.rc[:2]
images = _base_.train_dataloader.dataset
images.pipeline = [
    _base_.views.load,
    dict(type='MultiView', num_views=[2], transforms=[view]),
    _base_.views.pack,
]
train_dataloader = dict(
    batch_size=25,
    dataset=dict(
        _delete_=True,
        type='DualSamplingDataset',
        dataset=images,
        balanced_pipeline=[_base_.views.load, *view, _base_.views.pack],
    ),
)
del view, images
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[60, 80], gamma=0.1)]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(enable=False, base_batch_size=100)  # 4 GPUs x 25 images
