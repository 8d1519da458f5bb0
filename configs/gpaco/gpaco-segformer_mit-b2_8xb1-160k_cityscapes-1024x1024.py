_base_ = 'mmseg::segformer/segformer_mit-b2_8xb1-160k_cityscapes-1024x1024.py'
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='SegformerHead',
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=8)  # 8 GPUs x 1 images
