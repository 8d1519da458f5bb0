# Write the class frequencies once:
# python tools/class_statistics.py THIS_FILE -o data/class_frequencies/cityscapes.json
_base_ = 'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
# No config of this benchmark was published: the numbers of ADE20K.
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file='data/class_frequencies/cityscapes.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                label_smoothing=0.5,
                scale=1.0,
                loss_weight=1.0,
            ),
        ),
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)  # 4 GPUs x 2 images
