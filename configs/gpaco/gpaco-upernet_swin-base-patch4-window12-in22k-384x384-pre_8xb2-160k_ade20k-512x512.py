# GPaCo on ADE20K, UPerNet on Swin-Base.
_base_ = '../_base_/benchmarks/ade20k_upernet_swin-base.py'
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='UPerHead',
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.01, temperature=0.07, num_pixels=8192),
    )
)
