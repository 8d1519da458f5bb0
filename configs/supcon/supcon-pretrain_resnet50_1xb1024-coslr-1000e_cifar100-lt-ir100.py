# SupCon on CIFAR-100-LT, imbalance ratio 100, stage one: features without a classifier. The
# recipe is that of the balanced data sets.
_base_ = [
    '../_base_/models/supcon_cifar-resnet50.py',
    '../_base_/datasets/cifar100-lt-ir100.py',
    '../_base_/pipelines/views_32.py',
    '../_base_/schedules/supcon_coslr-1000e.py',
    '../_base_/default_runtime_cls.py',
]
# The statistics of CIFAR-100, as released: the other recipes have those of CIFAR-10.
data_preprocessor = dict(
    type='MultiViewClsDataPreprocessor',
    mean=[129.3105, 124.1085, 112.404],
    std=[68.2125, 65.4075, 70.4055],
)
train_pipeline = [
    *_base_.views.load,
    # without the blur
    dict(type='MultiView', num_views=[2], transforms=[_base_.views.c_sim[:-1]]),
    _base_.views.pack,
]
# the release keeps the last batch
train_dataloader = dict(
    batch_size=1024, drop_last=False, dataset=dict(dataset=dict(pipeline=train_pipeline))
)
# there is no classifier to evaluate
val_dataloader = None
val_evaluator = None
