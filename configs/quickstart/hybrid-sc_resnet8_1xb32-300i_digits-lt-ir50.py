# Hybrid-SC: from SupCon on two views to cross entropy on class-balanced images.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    type='HybridClassifier',
    head=dict(
        type='HybridClsHead',
        projector=dict(num_layers=2, out_channels=32),
        loss_contrast=dict(type='SupConLoss', temperature=0.1),
        curriculum='parabolic',
    ),
)
data_preprocessor = dict(num_views=3)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='DualSamplingDataset',
        dataset=_base_.train_dataloader.dataset,
        balanced_pipeline=[_base_.views.load, *_base_.views.crop_jitter, _base_.views.pack],
    )
)
