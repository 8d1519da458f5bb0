# SupCon on CIFAR-100-LT, imbalance ratio 50, stage one: features without a classifier. The recipe
# is that of the balanced data sets.
_base_ = [
    'mmpretrain::_base_/models/resnet50_cifar.py',
    '../_base_/datasets/cifar100-lt-ir50.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/sgd_coslr-400e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    type='GPaCoClassifier',
    joint_pass=True,  # one set of BatchNorm statistics, as released
    backbone=dict(zero_init_residual=False),
    head=dict(
        _delete_=True,
        type='SupConPretrainHead',
        in_channels=2048,
        projector=dict(num_layers=2, out_channels=128, norm=None, act='ReLU'),
        loss=dict(type='SupConLoss', temperature=0.1),
    ),
)
data_preprocessor = dict(type='MultiViewClsDataPreprocessor')
train_pipeline = [
    *_base_.views.load,
    # without the blur
    dict(type='MultiView', num_views=[2], transforms=[_base_.views.c_sim[:-1]]),
    _base_.views.pack,
]
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=0.5, weight_decay=1e-4))
# The start of the warm-up, a tenth of the rate, is ours.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=991, eta_min=5e-4, by_epoch=True, begin=9, end=1000),
]
train_cfg = dict(max_epochs=1000)
# there is no classifier to evaluate
val_dataloader = None
val_cfg = None
val_evaluator = None
auto_scale_lr = dict(enable=False, base_batch_size=1024)
