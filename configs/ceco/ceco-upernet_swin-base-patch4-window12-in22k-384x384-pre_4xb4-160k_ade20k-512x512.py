# CeCo on ADE20K, UPerNet on Swin-Base.
_base_ = '../_base_/benchmarks/ade20k_upernet_swin-base.py'
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='UPerHead',
        training_branches=dict(
            ceco=dict(
                type='CeCoBranch',
                frequency_file='{{ fileDirname }}/../_base_/class_frequencies/ade20k.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                scale=5.0,
                loss_weight=0.2,
            )
        ),
    )
)
# The authors put 4 images on a GPU; regions are those of one GPU. They name no number of GPUs here,
# their sibling scripts use 8, for batches of 32. 4 GPUs keep the 16 images of the cross-entropy
# baseline.
train_dataloader = dict(batch_size=4)
