_base_ = [
    'mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb4-40k_pascal-context-59-480x480.py',
    '../_base_/tta/relative_520x520.py',
]
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    ),
)
tta_pipeline = _base_.relative_tta_pipeline
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4 images
