# Write the class frequencies once:
# python tools/class_statistics.py THIS_FILE -o data/class_frequencies/coco-stuff10k.json
_base_ = '../_base_/benchmarks/coco-stuff10k_deeplabv3plus_r50-d8.py'
# No config of this benchmark was published: the numbers of ADE20K.
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file='data/class_frequencies/coco-stuff10k.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                label_smoothing=0.5,
                scale=1.0,
                loss_weight=1.0,
            )
        ),
    )
)
