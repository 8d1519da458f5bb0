# Hybrid-PSC on CIFAR-100-LT, imbalance ratio 100. Learnable prototypes take the place of the
# other views. Recipe of a reproduction report; the authors released no code.
_base_ = './hybrid-sc_resnet32_1xb512-step-200e_cifar100-lt-ir100.py'
model = dict(
    head=dict(loss_contrast=dict(_delete_=True, type='PrototypeContrastLoss', temperature=0.1))
)
# one view for the contrast, one image for the classifier
data_preprocessor = dict(num_views=2)
view = [*_base_.views.crop_flip, _base_.views.gray]
pipeline = [
    *_base_.views.load,
    dict(type='MultiView', num_views=[1], transforms=[view]),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(pipeline=pipeline))))
del view, pipeline
