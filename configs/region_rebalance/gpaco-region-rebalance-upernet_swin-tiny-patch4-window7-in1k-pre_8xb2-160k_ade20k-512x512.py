# GPaCo plus Region Rebalance. No config of this combination was published: no smoothing is the
# default of its head, the weight is ours.
_base_ = '../gpaco/gpaco-upernet_swin-tiny-patch4-window7-in1k-pre_8xb2-160k_ade20k-512x512.py'
model = dict(
    decode_head=dict(
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                label_smoothing=0.0,
                loss_weight=1.0,
            )
        )
    )
)
