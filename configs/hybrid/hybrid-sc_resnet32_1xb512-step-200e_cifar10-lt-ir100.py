# Hybrid-SC on CIFAR-10-LT, imbalance ratio 100. Recipe of a reproduction report; the authors
# released no code.
_base_ = [
    '../_base_/models/hybrid_cifar-resnet32.py',
    '../_base_/datasets/cifar10-lt-ir100.py',
    '../_base_/pipelines/crop-flip_32.py',
    '../_base_/schedules/hybrid_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(head=dict(num_classes=10))
# two views for the contrast, one image for the classifier
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=3)
view = [*_base_.views.crop_flip, _base_.views.gray]
long_tailed = _base_.train_dataloader.dataset
long_tailed.dataset.pipeline = [
    *_base_.views.load,
    dict(type='MultiView', num_views=[2], transforms=[view]),
    _base_.views.pack,
]
train_dataloader = dict(
    batch_size=512,
    dataset=dict(
        _delete_=True,
        type='DualSamplingDataset',
        dataset=long_tailed,
        balanced_pipeline=[*_base_.views.load, *view, _base_.views.pack],
    ),
)
del view, long_tailed
