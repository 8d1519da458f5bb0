# Cross entropy plus Region Rebalance on the region features of a training-only branch.
_base_ = './ce-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='FCNHead',
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file=_base_.frequency_file,
                norm_cfg=dict(type='BN', requires_grad=True),
                label_smoothing=0.5,
                scale=1.0,
                loss_weight=1.0,
            )
        ),
    )
)
