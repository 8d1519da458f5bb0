# GPaCo on the full ImageNet, ResNet-50: no class prior, label smoothing 0.1.
_base_ = [
    '../_base_/models/gpaco_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(loss=dict(label_smoothing=0.1, class_prior=None)))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [*_base_.views.rc, _base_.views.rand_augment],
            [*_base_.views.rcs, _base_.views.rand_augment],
        ],
    ),
    _base_.views.pack,
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.08, weight_decay=1e-4))
auto_scale_lr = dict(enable=False, base_batch_size=512)  # 8 GPUs x 64 images
