# Hybrid-PSC on CIFAR-10-LT, imbalance ratio 50. Recipe of a reproduction report; the authors
# released no code.
_base_ = [
    '../_base_/models/hybrid_cifar-resnet32.py',
    '../_base_/datasets/cifar10-lt-ir50.py',
    '../_base_/pipelines/crop-flip_32.py',
    '../_base_/schedules/hybrid_step-200e.py',
    '../_base_/default_runtime_cls.py',
]
model = dict(
    head=dict(
        num_classes=10,
        loss_contrast=dict(_delete_=True, type='PrototypeContrastLoss', temperature=1.0),
    ),
)
# one view for the contrast, one image for the classifier
data_preprocessor = dict(type='MultiViewClsDataPreprocessor', num_views=2)
view = [*_base_.views.crop_flip, _base_.views.gray]
long_tailed = _base_.train_dataloader.dataset
train_dataloader = dict(
    batch_size=512,
    dataset=dict(
        _delete_=True,
        type='DualSamplingDataset',
        dataset=dict(
            long_tailed,
            dataset=dict(
                long_tailed.dataset,
                pipeline=[
                    *_base_.views.load,
                    dict(type='MultiView', num_views=[1], transforms=[view]),
                    _base_.views.pack,
                ],
            ),
        ),
        balanced_pipeline=[*_base_.views.load, *view, _base_.views.pack],
    ),
)
del view, long_tailed
