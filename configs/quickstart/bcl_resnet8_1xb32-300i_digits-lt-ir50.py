# BCL: the first view trains the classifier, the others contrast with each other and prototypes.
_base_ = './proco_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    head=dict(
        type='BCLClsHead',
        loss_contrast=dict(_delete_=True, type='BCLLoss', temperature=0.1, loss_weight=0.35),
    )
)
