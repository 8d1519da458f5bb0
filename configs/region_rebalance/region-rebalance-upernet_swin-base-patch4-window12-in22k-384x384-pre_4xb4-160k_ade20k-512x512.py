# Region Rebalance on ADE20K, UPerNet on Swin-Base.
_base_ = '../_base_/benchmarks/ade20k_upernet_swin-base.py'
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='UPerHead',
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                label_smoothing=0.5,
                scale=1.0,
                loss_weight=1.0,
            )
        ),
    )
)
# The authors put 4 images on a GPU; regions are those of one GPU. They name no number of GPUs here,
# their sibling scripts use 8, for batches of 32. 4 GPUs keep the 16 images of the cross-entropy
# baseline.
train_dataloader = dict(batch_size=4)
