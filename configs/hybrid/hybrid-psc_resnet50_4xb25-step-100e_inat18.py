# Hybrid-PSC on iNaturalist 2018: learnable prototypes take the place of the other views. As the
# config of Hybrid-SC, nothing of this recipe is verified.
_base_ = './hybrid-sc_resnet50_4xb25-step-100e_inat18.py'
model = dict(
    head=dict(loss_contrast=dict(_delete_=True, type='PrototypeContrastLoss', temperature=0.1))
)
data_preprocessor = dict(num_views=2)
pipeline = [
    _base_.views.load,
    dict(type='MultiView', num_views=[1], transforms=[_base_.views.rc[:2]]),
    _base_.views.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
del pipeline
