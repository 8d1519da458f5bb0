# Cross entropy plus CeCo: region features against fixed simplex centers, in training only.
_base_ = './ce-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='FCNHead',
        training_branches=dict(
            ceco=dict(
                type='CeCoBranch',
                frequency_file=_base_.frequency_file,
                norm_cfg=dict(type='BN', requires_grad=True),
                scale=5.0,
                loss_weight=0.4,
            )
        ),
    )
)
