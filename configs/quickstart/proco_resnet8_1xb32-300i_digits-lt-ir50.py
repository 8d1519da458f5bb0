# ProCo: the first view trains the classifier, the others contrast with class distributions.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    joint_pass=True,
    head=dict(
        type='ProCoClsHead',
        projector=dict(num_layers=2, out_channels=32, norm='BN1d'),
        loss=dict(_delete_=True, type='BalancedSoftmaxLoss', class_prior='auto'),
        loss_contrast=dict(type='ProCoLoss', temperature=0.1, class_prior='auto', loss_weight=1.0),
    ),
)
data_preprocessor = dict(num_views=3)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            _base_.views.load,
            dict(type='MultiView', num_views=[3], transforms=[_base_.views.crop_jitter]),
            _base_.views.pack,
        ]
    )
)
