# Cross entropy and SupCon at once. Differs from GPaCo by the loss alone.
_base_ = './gpaco_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    head=dict(
        type='MultiTaskSupConClsHead',
        loss=dict(
            _delete_=True, type='MultiTaskSupConLoss', alpha=0.5, temperature=0.1, class_prior=None
        ),
    )
)
