_base_ = 'mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=8)  # 4 GPUs x 2 images
