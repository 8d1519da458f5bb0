# ProCo on a torchvision-style ResNet-50: as BCL, without prototypes.
_base_ = './bcl_resnet50.py'
model = dict(
    head=dict(
        type='ProCoClsHead',
        loss_contrast=dict(
            _delete_=True, type='ProCoLoss', temperature=0.07, class_prior='auto', loss_weight=1.0
        ),
    )
)
