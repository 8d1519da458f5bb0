# GPaCo on Cityscapes, DeepLabV3+ on ResNet-50.
_base_ = '../_base_/benchmarks/cityscapes_deeplabv3plus_r50-d8.py'
# alpha is larger than the 0.01 of the other recipes, as the authors ran it.
model = dict(
    decode_head=dict(
        type='GPaCoDecodeHead',
        base_type='DepthwiseSeparableASPPHead',
        projector=dict(num_layers=3, out_channels=128),
        loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.03, temperature=0.07, num_pixels=8192),
    )
)
