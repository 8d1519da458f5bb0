# Multi-task baseline on ImageNet-LT, ResNeXt-101 32x4d: Balanced Softmax plus supervised
# contrast. Differs from GPaCo by the loss alone. The weights of the contrastive term are 1,
# as the released code computes.
_base_ = '../gpaco/gpaco_resnext101-32x4d_4xb32-coslr-400e_imagenet-lt.py'
model = dict(
    head=dict(
        type='MultiTaskSupConClsHead',
        loss=dict(
            _delete_=True,
            type='MultiTaskSupConLoss',
            alpha=0.5,
            temperature=0.2,
            class_prior='auto',
            weighting='released',
        ),
    )
)
