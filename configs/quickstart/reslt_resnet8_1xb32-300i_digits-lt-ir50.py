# ResLT: residual branches for all classes, the seven rarest and the four rarest.
_base_ = './ce_resnet8_1xb32-300i_digits-lt-ir50.py'
model = dict(
    neck=None,  # the head pools
    head=dict(
        type='ResLTClsHead',
        branch='norm',
        loss=dict(_delete_=True, type='ResLTLoss', groups=(7, 4), alpha=0.998, class_counts='auto'),
    ),
)
