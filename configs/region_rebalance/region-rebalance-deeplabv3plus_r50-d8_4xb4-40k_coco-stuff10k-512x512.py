# Write the class frequencies once:
# python tools/class_statistics.py THIS_FILE -o data/class_frequencies/coco-stuff10k.json
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    'mmseg::_base_/datasets/coco-stuff10k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    '../_base_/tta/relative_2048x512.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
# No config of this benchmark was published: the numbers of ADE20K.
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(
        type='BranchDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        num_classes=171,
        training_branches=dict(
            region_rebalance=dict(
                type='RegionRebalanceBranch',
                frequency_file='data/class_frequencies/coco-stuff10k.json',
                norm_cfg=dict(type='BN', requires_grad=True),  # per GPU, as released
                label_smoothing=0.5,
                scale=1.0,
                loss_weight=1.0,
            ),
        ),
    ),
    auxiliary_head=dict(num_classes=171),
)
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4 images
