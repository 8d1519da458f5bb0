_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    'mmseg::_base_/datasets/coco-stuff10k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    '../_base_/tta/relative_2048x512.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        num_classes=171,
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    ),
    auxiliary_head=dict(num_classes=171),
)
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4 images
