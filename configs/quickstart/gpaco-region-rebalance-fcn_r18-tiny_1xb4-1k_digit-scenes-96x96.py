# Cross entropy plus the pixel-contrastive loss and Region Rebalance.
_base_ = './gpaco-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py'
model = dict(
    decode_head=dict(
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file=_base_.frequency_file,
                norm_cfg=dict(type='BN', requires_grad=True),
                # as in the config on ADE20K
                label_smoothing=0.0,
                loss_weight=1.0,
            )
        )
    )
)
