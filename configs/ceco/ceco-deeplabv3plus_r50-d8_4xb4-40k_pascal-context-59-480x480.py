# Write the class frequencies once:
# python tools/class_statistics.py THIS_FILE -o data/class_frequencies/pascal-context-59.json
_base_ = [
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-40k_pascal-context-59-480x480.py',
    '../_base_/tta/relative_520x520.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
# No config of this benchmark was published; 0.4 is what a re-implementation used on Cityscapes.
model = dict(
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        training_branches=dict(
            ceco=dict(
                type='CeCoBranch',
                frequency_file='data/class_frequencies/pascal-context-59.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                scale=5.0,
                loss_weight=0.4,
            ),
        ),
    ),
)
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4 images
