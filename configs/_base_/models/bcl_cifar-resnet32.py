# BCL on the CIFAR ResNet-32, as another project has it: cosine classifier with scale 30, projectors
# 64 -> 512 -> 128, weights 2 and 0.6 of the two losses.
_base_ = './proco_cifar-resnet32.py'
model = dict(
    head=dict(
        type='BCLClsHead',
        scale=30.0,
        loss=dict(loss_weight=2.0),
        loss_contrast=dict(_delete_=True, type='BCLLoss', temperature=0.1, loss_weight=0.6),
    )
)
