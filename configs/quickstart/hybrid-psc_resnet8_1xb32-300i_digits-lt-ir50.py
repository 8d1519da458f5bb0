# Hybrid-PSC: learnable prototypes take the place of the other views. One view for the contrast and
# temperature 1, as on CIFAR-10-LT.
_base_ = './hybrid-sc_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    head=dict(loss_contrast=dict(_delete_=True, type='PrototypeContrastLoss', temperature=1.0))
)
data_preprocessor = dict(num_views=2)
pipeline = [
    _base_.views.load,
    dict(type='MultiView', num_views=[1], transforms=[_base_.views.crop_jitter]),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
del pipeline
