# PaCo on the full ImageNet, ResNet-50, without class prior. The script asks for a batch of
# 256 without a number of GPUs; 4 is what the PaCo experiments used.
_base_ = [
    '../_base_/models/paco_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/pipelines/views_224.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(loss=dict(class_prior=None)))
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    _base_.views.load,
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[[*_base_.views.rc, _base_.views.rand_augment], _base_.views.sim],
    ),
    _base_.views.pack,
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.04, weight_decay=1e-4))
auto_scale_lr = dict(enable=False, base_batch_size=256)  # 4 GPUs x 64 images
